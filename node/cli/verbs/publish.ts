/** `publish`: the daemon imports the folder and signs a head; this waits for it, and for other sites when asked. */
import { lstatSync, readFileSync, type Stats } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { decodeUtf8, printableName } from '../../../src/base/bytes.ts'
import { asMirrorError, MirrorError } from '../../../src/base/errors.ts'
import { isIgnoreRule } from '../../../src/dag/ignore-rule.ts'
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import { DELTA_MODES, type DeltaMode } from '../../../src/replica/deltas/delta-mode.ts'
import type { DryRunAnswer, PublishAnswer, PublishedDeltas } from '../../api/jobs/job-answers.ts'
import type { SiteDocument } from '../../api/routes/site-routes.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { runJob } from '../job.ts'
import { ITEMS_HELP, printChanges } from '../print-changes.ts'
import { countOf, formatBytes, formatSeconds, parseDuration } from '../quantity.ts'
import { treeUrl } from '../tree-url.ts'

interface Options {
  readonly tree: string
  readonly wait?: string
  readonly timeout?: string
  readonly note: readonly string[]
  readonly as?: string
  readonly allowEmpty?: boolean
  readonly acceptShrink?: boolean
  readonly inPlace?: boolean
  /** False for --no-exclude. */
  readonly exclude: readonly string[] | false
  readonly excludeFrom: readonly string[]
  readonly deltas?: string
  readonly dryRun?: boolean
  readonly itemize?: boolean
  readonly key?: string
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
    .option(
      '--as <VERSION>',
      'PATH becomes the version of this name, beside the others: for trees of kind versioned',
    )
    .option('--allow-empty', 'publish a source without a single file although the head has some')
    .option(
      '--accept-shrink',
      'publish although more files or bytes are gone than maxShrinkPercent allows (30 by default)',
    )
    .option('--in-place', 'do not copy PATH into the store: its files must then stay as they are')
    .option(
      '--exclude <PATTERN>',
      'leave out what this pattern (gitignore syntax) matches; may be repeated',
      collect,
      [],
    )
    .option('--no-exclude', 'leave nothing out: forget the patterns of the newest snapshot')
    .option('--exclude-from <FILE>', 'patterns from a file, one a line; may be repeated', collect, [])
    .option(
      '--deltas <WHEN>',
      'make deltas against the snapshot before: before, along (while it is out already), after, or off',
    )
    .option(
      '--key <FILE>',
      "a publisher's key: this machine reads PATH and signs, the node takes the blocks (see below)",
    )
    .option('-n, --dry-run', 'read and count everything, store and sign nothing')
    .option('-i, --itemize', 'with --dry-run: also list what differs from the newest snapshot')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Patterns are recorded in the snapshot and hold for the next publish of the tree, unless others are given. Those of
--exclude-from come first; of several that match the last one decides. A .gitignore or other file in the folder is not
read by itself.

Sites that hold the snapshot before fetch deltas, where there are some, and make the new blocks of them. With \`along\`, the
default of the setting \`deltas\`, the head goes out at once and this command ends when the deltas are made.

With --key this machine needs no node of its own, only one that it may ask: that of --home, or of --api URL with a token
that may operate. The key is one that an admin made a publisher (grant add, or tree create --publisher PEERID). Nothing is
copied here; what the node lacks is sent there, and the head goes out when the node has it all.
${ITEMS_HELP}`,
    )
    .action((path: string, options: Options) => publish(context, path, options))
}

async function publish(context: Context, path: string, options: Options): Promise<void> {
  const tree = checkTreeName(options.tree)
  const timeoutMs = options.timeout === undefined ? undefined : parseDuration(options.timeout)
  if (options.timeout !== undefined && timeoutMs === undefined) {
    throw new MirrorError('invalid', `--timeout is a time like 90s, 30m or 12h, not ${options.timeout}`)
  }
  const isDry = options.dryRun === true
  checkDryRun(options)
  const ignore = readRules(options)
  const source = resolve(path)
  checkSource(source)
  if (options.key !== undefined) {
    const { publishWithKey } = await import('../publish-with-key.ts')
    await publishWithKey(context, {
      ...options,
      key: options.key,
      tree,
      source,
      ignore,
      timeoutMs,
      notes: parseNotes(options.note),
    })
    return
  }
  const wait = options.wait?.split(',')
  const job = {
    kind: 'publish' as const,
    path: source,
    tree,
    notes: parseNotes(options.note),
    allowEmpty: options.allowEmpty === true,
    acceptShrink: options.acceptShrink === true,
    ...(options.as === undefined ? {} : { version: options.as }),
    ...(options.inPlace === true ? { inPlace: true } : {}),
    dryRun: isDry,
    ...(options.deltas === undefined ? {} : { deltas: checkMode(options.deltas) }),
    ...(ignore === undefined ? {} : { ignore }),
    ...(wait === undefined ? {} : { wait }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  }
  // Last: a tree that was created for a mistyped option would stay.
  let isNewTree = false
  if (!isDry) {
    if (wait !== undefined) await checkSites(context, wait)
    const { ensureTree } = await import('../ensure-tree.ts')
    isNewTree = await ensureTree(context, tree)
  }
  const { terminal } = context
  const answer = await runJob<PublishAnswer | DryRunAnswer>(context, job, `publish ${tree}`).catch(
    async (error) => {
      if (isNewTree) await sayWhatIsLeft(context, tree)
      throw error
    },
  )
  if (options.json === true) await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
  else if ('isDryRun' in answer) {
    if (options.itemize === true) {
      const query = { dir: source, ignore: JSON.stringify(answer.ignore) }
      await printChanges(context, treeUrl({ tree }, 'diff', query), 'items')
    }
    await terminal.print(
      `${tree}: ${answer.isNew ? `would become ${tree}@${answer.sequence}` : 'unchanged'}\n` +
        `${countOf(answer.files, 'file')}, ${formatBytes(answer.bytes)}, ${countOf(answer.blocks, 'block')}; ` +
        `new here: ${countOf(answer.newBlocks, 'block')}, ${formatBytes(answer.newBytes)}; ` +
        `${formatSeconds(answer.seconds)}\n`,
    )
  } else {
    await terminal.print(
      `${tree}@${answer.sequence}  ${answer.snapshot}${answer.isNew ? '' : '  (unchanged)'}\n` +
        `${countOf(answer.files, 'file')}, ${formatBytes(answer.bytes)}, ${countOf(answer.blocks, 'block')}; ` +
        `new here: ${formatBytes(answer.newBytes)}; ${formatSeconds(answer.seconds)}\n`,
    )
    if (answer.deltas !== undefined) await terminal.print(deltasText(answer.deltas))
    if (answer.waited !== undefined) {
      const { sites, seconds } = answer.waited
      await terminal.print(
        sites.length === 0
          ? `${tree} is pinned nowhere: there is no site to wait for\n`
          : `complete at ${sites.join(', ')} after ${formatSeconds(seconds)}\n`,
      )
    }
  }
  for (const note of answer.unjudged ?? []) terminal.say(`mirrormesh: the gate did not judge all: ${note}`)
  if (options.inPlace === true && !isDry) {
    terminal.say(
      `mirrormesh: ${tree} rests on the files in ${source}: it is at risk until another site is complete`,
    )
  }
  const { uncaptured, ignore: rules } = answer
  if (rules.length > 0 && options.json !== true) {
    const shown = rules.slice(0, 5).map((rule) => printableName(Buffer.from(rule)))
    const more = rules.length > shown.length ? ` and ${rules.length - shown.length} more` : ''
    terminal.say(`left out by pattern: ${shown.join(', ')}${more}`)
  }
  if (uncaptured.count > 0) {
    terminal.say(
      `mirrormesh: ${countOf(uncaptured.count, 'entry', 'entries')} of ${path} could not be captured in full:`,
    )
    for (const { path: name, reason } of uncaptured.first.slice(0, 10)) terminal.say(`  ${name}: ${reason}`)
    if (uncaptured.count > 10) terminal.say(`  ... \`${context.self} tree show ${tree}\` shows more`)
    context.exitWith(EXIT.partial)
  }
}

/** The job may have failed after the head was signed, as when a site that is waited for takes too long. */
async function sayWhatIsLeft(context: Context, tree: string): Promise<void> {
  const { findTree } = await import('../ensure-tree.ts')
  const found = await findTree(context, tree).catch(() => undefined)
  if (found !== undefined && found.head === null)
    context.terminal.say(
      `mirrormesh: ${tree} was created for this and has no snapshot yet: publish again, or take it back: ${context.self} tree delete ${tree}`,
    )
}

async function checkSites(context: Context, wanted: readonly string[]): Promise<void> {
  const { sites } = await context.api.get<{ sites: SiteDocument[] }>('/api/v1/sites', context.signal)
  const missing = wanted.find((name) => name !== 'all' && !sites.some(({ site }) => site === name))
  if (missing === undefined) return
  throw new MirrorError('not-found', `there is no site ${missing} to wait for`, {
    hint: `See: ${context.self} site list`,
  })
}

function checkMode(text: string): DeltaMode {
  const mode = DELTA_MODES.find((each) => each === text)
  if (mode !== undefined) return mode
  throw new MirrorError('invalid', `--deltas is one of ${DELTA_MODES.join(', ')}, not ${text}`)
}

function deltasText(made: PublishedDeltas): string {
  const { baseSequence, newBytes, deltas, deltaBytes, targetBytes, zstdBytes, seconds, endedBy } = made
  const inPlaceOf = zstdBytes > 0 ? ` in place of ${formatBytes(zstdBytes)}` : ''
  return (
    `new since @${baseSequence}: ${formatBytes(newBytes)}; ${countOf(deltas, 'delta')} of ${formatBytes(deltaBytes)}` +
    `${inPlaceOf} for ${formatBytes(targetBytes)} of it; ${formatSeconds(seconds)}\n` +
    (endedBy === undefined ? '' : `no more deltas: ${endedBy}\n`)
  )
}

function checkDryRun({ dryRun, itemize, wait, json }: Options): void {
  if (dryRun === true && wait !== undefined) {
    throw new MirrorError('invalid', '--dry-run publishes nothing that --wait could wait for')
  }
  if (itemize === true && dryRun !== true) throw new MirrorError('invalid', '--itemize needs --dry-run')
  if (itemize === true && json === true) {
    throw new MirrorError('invalid', 'choose one of --itemize and --json', {
      hint: 'For the changes as JSON: mirrormesh diff TREE --dir PATH --json',
    })
  }
}

/** Undefined: those of the newest snapshot go on. */
function readRules({ exclude, excludeFrom }: Options): string[] | undefined {
  if (exclude === false) {
    if (excludeFrom.length === 0) return []
    throw new MirrorError('invalid', '--no-exclude and --exclude-from contradict each other')
  }
  if (exclude.length === 0 && excludeFrom.length === 0) return undefined
  return [...excludeFrom.flatMap(readRulesFile), ...exclude]
}

function readRulesFile(file: string): string[] {
  let text: string | undefined
  try {
    text = decodeUtf8(readFileSync(file))
  } catch (error) {
    throw asMirrorError(error, `read ${file}`)
  }
  if (text === undefined) throw new MirrorError('invalid', `${file} is not UTF-8`)
  return text
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
    .filter(isIgnoreRule)
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

/** @param before false after the negative form of the same option */
function collect(value: string, before: readonly string[] | false): readonly string[] {
  if (before !== false) return [...before, value]
  throw new MirrorError('invalid', '--no-exclude and --exclude contradict each other')
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
