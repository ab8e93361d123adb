/** Parses the command line and runs one verb. Never ends the process: it returns the exit status. */
import { Command, CommanderError, Help } from 'commander'
import { MirrorError } from '../../src/base/errors.ts'
import { type Context, createContext } from './context.ts'
import { EXIT, EXIT_HELP, type ExitStatus } from './exit-codes.ts'
import { reportFailure } from './failure.ts'
import { chooseRemote } from './remote-api.ts'
import type { Terminal } from './terminal.ts'
import { VERBS } from './verbs.ts'

export async function runProgram(
  args: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<ExitStatus> {
  let status: ExitStatus = EXIT.ok
  let self = 'mirrormesh'
  try {
    const { home, api, tokenFile, rest } = takeGlobals(args)
    const remote = chooseRemote(
      { api, tokenFile },
      terminal.env,
      rest.find((word) => !word.startsWith('-')),
    )
    const context: Context = createContext(terminal, {
      home,
      remote,
      signal,
      allVerbs: () => createProgram(context, () => true),
      exitWith(wanted) {
        status = wanted
      },
    })
    self = context.self
    const program = await createProgram(context, (name) => isAskedFor(name, rest))
    if (rest.length === 0) {
      program.outputHelp({ error: true })
      return EXIT.usage
    }
    if (rest[0] === '--version' || rest[0] === '-V') {
      const { readVersion } = await import('../version.ts')
      await terminal.print(`${readVersion()}\n`)
      return EXIT.ok
    }
    await program.parseAsync(helpOf(rest), { from: 'user' })
    return status
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    return reportFailure(terminal, error, { isInterrupted: signal.aborted, self })
  }
}

const plainHelp = new Help()

/**
 * The tree of commands, with the verbs for which `isWanted` loaded in full and the others by name only.
 */
async function createProgram(context: Context, isWanted: (verb: string) => boolean): Promise<Command> {
  const { terminal } = context
  const program = new Command('mirrormesh')
    .description(
      'Replicates file trees between the sites of one organisation, each byte over each link about once.',
    )
    .usage('[--home DIR | --api URL --token-file FILE] VERB ...')
    .option('-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.out.stream.write(text),
      writeErr: (text) => void terminal.err.stream.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'mirrormesh: ')),
    })
    .configureHelp({
      showGlobalOptions: false,
      // Of what may be repeated the library would print `(default: [])`.
      optionDescription: (option) =>
        Array.isArray(option.defaultValue) ? option.description : plainHelp.optionDescription(option),
    })
    .helpCommand('help [VERB]', 'show the help of a verb')
    .addHelpText('afterAll', EXIT_HELP)
    .showHelpAfterError('See --help.')
  addGlobalOptions(program)
  for (const verb of VERBS) {
    const command = program.command(verb.name).summary(verb.summary).description(sentence(verb.summary))
    command.helpGroup(`${verb.group}:`)
    if (!isWanted(verb.name)) continue
    const module = await verb.load()
    module.define(command, context)
    for (const each of [command, ...command.commands]) {
      addGlobalOptions(each)
      const words = each === command ? verb.name : `${verb.name} ${each.name()}`
      each.showHelpAfterError(`See mirrormesh ${words} --help.`)
    }
  }
  return program
}

/** `help pin add` is `pin add --help`: the library's own `help` knows one word. */
function helpOf(words: string[]): string[] {
  return words[0] === 'help' && words.length === 3 ? [...words.slice(1), '--help'] : words
}

function sentence(summary: string): string {
  return `${summary[0]?.toUpperCase()}${summary.slice(1)}.`
}

/** For the help only: `takeGlobals` has read them before. */
function addGlobalOptions(command: Command): void {
  command.option('--home DIR', 'the folder that holds everything of this node')
  command.option('--api URL', "ask this node's API instead of the one on this machine")
  command.option('--token-file FILE', 'the token for it')
}

function isAskedFor(name: string, rest: readonly string[]): boolean {
  const words = rest.filter((word) => !word.startsWith('-'))
  return words[0] === name || (words[0] === 'help' && words[1] === name)
}

interface Globals {
  readonly home: string | undefined
  readonly api: string | undefined
  readonly tokenFile: string | undefined
  readonly rest: string[]
}

const GLOBALS = { '--home': 'a folder', '--api': 'a URL', '--token-file': 'a file' } as const
type Global = keyof typeof GLOBALS

/** They may stand anywhere before `--`, with every verb. */
function takeGlobals(args: readonly string[]): Globals {
  const end = args.indexOf('--') < 0 ? args.length : args.indexOf('--')
  const rest: string[] = []
  const found = new Map<Global, string>()
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!
    const name = (Object.keys(GLOBALS) as Global[]).find(
      (each) => word === each || word.startsWith(`${each}=`),
    )
    if (i >= end || name === undefined) {
      rest.push(word)
      continue
    }
    const value = word === name ? (args[++i] ?? '') : word.slice(name.length + 1)
    if (value === '')
      throw new MirrorError('invalid', `${name} needs ${GLOBALS[name]}`, { hint: 'See --help.' })
    found.set(name, value)
  }
  return {
    home: found.get('--home'),
    api: found.get('--api'),
    tokenFile: found.get('--token-file'),
    rest,
  }
}
