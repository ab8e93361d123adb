/** `ls`: one folder of a snapshot, or all below it, as the daemon streams it. */
import type { Command } from 'commander'
import type { EntryLine, EntryListHeader } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { createLineWriter } from '../terminal.ts'
import { parseTreeSpec } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

interface Options {
  readonly long?: boolean
  readonly recursive?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<TREE[@SEQUENCE][:/PATH]>', 'what to list')
    .option('-l, --long', 'mode, owner, size and time too')
    .option('-R, --recursive', 'everything below it')
    .option('--json', 'print one JSON document')
    .action((spec: string, options: Options) => list(context, spec, options))
}

async function list({ api, terminal, signal }: Context, text: string, options: Options): Promise<void> {
  const spec = parseTreeSpec(text)
  const url = treeUrl(spec, 'entries', options.recursive === true ? { recursive: 'true' } : {})
  const writer = createLineWriter(terminal)
  let isFirst = true
  for await (const line of api.lines<EntryListHeader | EntryLine>(url, signal)) {
    if ('snapshot' in line) {
      if (options.json === true) {
        await writer.line(`${JSON.stringify(line).slice(0, -1)},"entries":[`)
      }
      continue
    }
    if (options.json === true) await writer.line(`${isFirst ? '' : ','}${JSON.stringify(line)}`)
    else await writer.line(options.long === true ? longLine(line) : shortLine(line))
    isFirst = false
  }
  if (options.json === true) await writer.line(']}')
  await writer.end()
}

function shortLine(entry: EntryLine): string {
  // The root of a tree that is a single file has no name.
  return (entry.path || '.') + (entry.type === 'directory' ? '/' : '')
}

function longLine(entry: EntryLine): string {
  const owner = `${entry.user ?? entry.uid} ${entry.group ?? entry.gid}`
  const time = entry.mtime.slice(0, 19).replace('T', ' ')
  const target = entry.target === undefined ? '' : ` -> ${entry.target}`
  return `${modeText(entry)} ${owner.padEnd(16)} ${(entry.device ?? String(entry.sizeBytes ?? 0)).padStart(12)} ${time} ${shortLine(entry)}${target}`
}

const TYPE_LETTER = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  'block-device': 'b',
  'character-device': 'c',
} as const

function modeText({ type, mode }: EntryLine): string {
  const letters = [...'rwxrwxrwx'].map((letter, i) => ((mode >> (8 - i)) & 1 ? letter : '-'))
  const special = [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const
  for (const [bit, at, letter] of special) {
    if ((mode & bit) !== 0) letters[at] = letters[at] === 'x' ? letter : letter.toUpperCase()
  }
  return TYPE_LETTER[type] + letters.join('')
}
