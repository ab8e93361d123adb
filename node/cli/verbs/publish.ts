/** `publish`: the daemon imports the folder and signs a head; this waits for it, and for other sites when asked. */
import { lstatSync, type Stats } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import type { PublishAnswer } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { runJob } from '../job.ts'
import { countOf, formatBytes, formatSeconds, parseDuration } from '../quantity.ts'

interface Options {
  readonly tree: string
  readonly wait?: string
  readonly timeout?: string
  readonly note: readonly string[]
  readonly allowEmpty?: boolean
  readonly inPlace?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<PATH>', 'the folder (or file) to publish')
    .requiredOption('--tree <NAME>', 'the tree; it is created when the key of an admin is in this home')
    .option(
      '--wait <SITES>',
      'wait until these sites hold it in full: all (that it is pinned to), or names with commas',
    )
    .option('--timeout <TIME>', 'give up waiting after this long (90s, 30m, 12h); exit 124')
    .option('--note <KEY=VALUE>', 'a note kept in the snapshot; may be repeated', collect, [])
    .option('--allow-empty', 'publish a source without a single file although the head has some')
    .option('--in-place', 'do not copy PATH into the store: its files must then stay as they are')
    .option('--json', 'print the result as JSON')
    .action((path: string, options: Options) => publish(context, path, options))
}

async function publish(context: Context, path: string, options: Options): Promise<void> {
  const tree = checkTreeName(options.tree)
  const timeoutMs = options.timeout === undefined ? undefined : parseDuration(options.timeout)
  if (options.timeout !== undefined && timeoutMs === undefined) {
    throw new MirrorError('invalid', `--timeout is a time like 90s, 30m or 12h, not ${options.timeout}`)
  }
  const source = resolve(path)
  checkSource(source)
  const { ensureTree } = await import('../ensure-tree.ts')
  await ensureTree(context, tree)
  const answer = await runJob<PublishAnswer>(
    context,
    {
      kind: 'publish',
      path: source,
      tree,
      notes: parseNotes(options.note),
      allowEmpty: options.allowEmpty === true,
      ...(options.inPlace === true ? { inPlace: true } : {}),
      ...(options.wait === undefined ? {} : { wait: options.wait.split(',') }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    },
    `publish ${tree}`,
  )
  const { terminal } = context
  if (options.json === true) await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
  else {
    await terminal.print(
      `${tree}@${answer.sequence}  ${answer.snapshot}${answer.isNew ? '' : '  (unchanged)'}\n` +
        `${countOf(answer.files, 'file')}, ${formatBytes(answer.bytes)}, ${countOf(answer.blocks, 'block')}; ` +
        `new here: ${formatBytes(answer.newBytes)}; ${formatSeconds(answer.seconds)}\n`,
    )
    if (answer.waited !== undefined) {
      const { sites, seconds } = answer.waited
      await terminal.print(
        sites.length === 0
          ? `${tree} is pinned nowhere: there is no site to wait for\n`
          : `complete at ${sites.join(', ')} after ${formatSeconds(seconds)}\n`,
      )
    }
  }
  if (options.inPlace === true) {
    terminal.say(
      `mirrormesh: ${tree} rests on the files in ${source}: it is at risk until another site is complete`,
    )
  }
  const { uncaptured } = answer
  if (uncaptured.count > 0) {
    terminal.say(
      `mirrormesh: ${countOf(uncaptured.count, 'entry', 'entries')} of ${path} could not be captured in full:`,
    )
    for (const { path: name, reason } of uncaptured.first.slice(0, 10)) terminal.say(`  ${name}: ${reason}`)
    if (uncaptured.count > 10) terminal.say(`  ... \`${context.self} tree show ${tree}\` shows more`)
    context.exitWith(EXIT.partial)
  }
}

/** The daemon would say so too, but only after the tree has been created. What this user may not see, it may. */
function checkSource(source: string): void {
  let found: Stats | undefined
  try {
    found = lstatSync(source, { throwIfNoEntry: false })
  } catch {
    return
  }
  if (found === undefined) throw new MirrorError('not-found', `there is no ${source}`)
  if (!found.isDirectory() && !found.isFile() && !found.isSymbolicLink()) {
    throw new MirrorError('invalid', `${source} is neither a folder nor a file, and cannot be a tree`)
  }
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}

function parseNotes(notes: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    notes.map((note) => {
      const at = note.indexOf('=')
      if (at < 1) throw new MirrorError('invalid', `--note is KEY=VALUE, not ${JSON.stringify(note)}`)
      return [note.slice(0, at), note.slice(at + 1)]
    }),
  )
}
