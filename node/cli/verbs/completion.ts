/** `completion`: a script for bash, zsh or fish, made from the same definitions as the help. */
import type { Command } from 'commander'
import { type Context, oneOf } from '../context.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

export function define(command: Command, context: Context): void {
  command
    .argument('<SHELL>', SHELLS.join(', '))
    .addHelpText(
      'after',
      `
To use it:
  bash  mirrormesh completion bash > ~/.local/share/bash-completion/completions/mirrormesh
  zsh   mirrormesh completion zsh > "\${fpath[1]}/_mirrormesh"
  fish  mirrormesh completion fish > ~/.config/fish/completions/mirrormesh.fish`,
    )
    .action(async (name: string) => {
      const shell = oneOf('the shell', name, SHELLS)
      const words = wordsOf(await context.allVerbs())
      await context.terminal.print({ bash, zsh, fish }[shell](words))
    })
}

interface Words {
  /** `''` for the first word, `pin` for the word after it, `pin add` for its options. */
  readonly after: string
  readonly words: readonly { readonly word: string; readonly meaning: string }[]
}

function wordsOf(command: Command, after = ''): Words[] {
  const subcommands = command.commands.map((each) => ({
    word: each.name(),
    meaning: each.summary() || each.description(),
  }))
  const options = command.options.flatMap((each) =>
    each.long === undefined || each.long === null ? [] : [{ word: each.long, meaning: each.description }],
  )
  return [
    { after, words: [...subcommands, ...options] },
    ...command.commands.flatMap((each) => wordsOf(each, `${after} ${each.name()}`.trim())),
  ]
}

/** Cases of a shell's `case "$path" in`. */
function cases(all: readonly Words[]): string {
  return all
    .map(
      ({ after, words }) =>
        `    ${JSON.stringify(after)}) words='${words.map(({ word }) => word).join(' ')}' ;;`,
    )
    .join('\n')
}

function bash(all: readonly Words[]): string {
  return `# bash completion of mirrormesh
_mirrormesh() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --home|--api|--token-file) ((i++)) ;;
      -*) ;;
      *) [[ " ${paths(all)} " == *" \${path:+$path/}\${COMP_WORDS[i]} "* ]] && path="\${path:+$path/}\${COMP_WORDS[i]}" ;;
    esac
  done
  case "\${path//\\// }" in
${cases(all)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ $current == -* || \${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _mirrormesh mirrormesh
`
}

/** Every path of verbs, its words joined by slashes. */
function paths(all: readonly Words[]): string {
  return all
    .map(({ after }) => after.replace(' ', '/'))
    .filter(Boolean)
    .join(' ')
}

function zsh(all: readonly Words[]): string {
  const branches = all
    .map(
      ({ after, words }) =>
        `    ${JSON.stringify(after)}) described=(${words.map(({ word, meaning }) => quote(`${word}:${meaning}`)).join(' ')}) ;;`,
    )
    .join('\n')
  // Not `path`: zsh ties that name to PATH.
  return `#compdef mirrormesh
_mirrormesh() {
  local place='' word
  local -a described
  local -i i
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    case $word in
      --home|--api|--token-file) ((i++)) ;;
      -*) ;;
      *) [[ " ${paths(all)} " == *" \${place:+$place/}$word "* ]] && place="\${place:+$place/}$word" ;;
    esac
  done
  case "\${place//\\// }" in
${branches}
  esac
  _describe mirrormesh described
  _files
}
_mirrormesh "$@"
`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function fish(all: readonly Words[]): string {
  const verbs = all[0]?.words.filter(({ word }) => !word.startsWith('-')).map(({ word }) => word) ?? []
  const lines = all.flatMap(({ after, words }) => {
    const [verb, sub] = after.split(' ')
    const condition =
      after === ''
        ? `not __fish_seen_subcommand_from ${verbs.join(' ')}`
        : `__fish_seen_subcommand_from ${verb}${sub === undefined ? '' : `; and __fish_seen_subcommand_from ${sub}`}`
    return words.map(({ word, meaning }) =>
      word.startsWith('--')
        ? `complete -c mirrormesh -n '${condition}' -l ${word.slice(2)} -d ${quote(meaning)}`
        : `complete -c mirrormesh -n '${condition}' -a ${word} -d ${quote(meaning)}`,
    )
  })
  return `# fish completion of mirrormesh\n${lines.join('\n')}\n`
}
