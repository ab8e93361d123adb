/**
 * `diff`: what changed from one snapshot to another, or to a folder on the daemon's disk. Equal parts of two snapshots
 * are skipped by CID, so it reads little; of a folder only metadata is read.
 */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { DiffBytesAnswer, SnapshotPlace } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { ITEMS_HELP, printChanges } from '../print-changes.ts'
import { countOf, formatBytes } from '../quantity.ts'
import { parseTreeSpec, type TreeSpec } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

interface Options {
  readonly dir?: string
  readonly checksum?: boolean
  readonly bytes?: boolean
  readonly itemize?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<TREE@A>', 'the older snapshot; with --dir, TREE alone is the newest that is complete here')
    .argument('[TREE@B]', 'the newer one; the head of the tree when left out')
    .option('--dir <PATH>', 'compare with this folder instead: what a publish of it would change')
    .option('--checksum', 'with --dir: read files and compare bytes, not size and time')
    .option('--bytes', 'only say how many bytes a site that holds the older one would fetch for the newer')
    .option('-i, --itemize', 'lines like those of rsync --itemize-changes')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Each line is a letter and a path: + added, - removed, M content changed, m metadata only, T type changed.
${ITEMS_HELP}`,
    )
    .action((a: string, b: string | undefined, options: Options) => diff(context, a, b, options))
}

async function diff(context: Context, a: string, b: string | undefined, options: Options): Promise<void> {
  const { terminal } = context
  if (options.itemize === true && options.json === true) {
    throw new MirrorError('invalid', 'choose one of --itemize and --json: the JSON has the items too')
  }
  if (options.bytes === true) {
    await tellBytes(context, a, b, options)
    return
  }
  const format = options.json === true ? 'json' : options.itemize === true ? 'items' : 'letters'
  const changes = await printChanges(context, urlOf(a, b, options), format)
  if (format !== 'json' && terminal.err.isTty) terminal.say(countOf(changes, 'change'))
}

async function tellBytes(
  { api, signal, terminal }: Context,
  a: string,
  b: string | undefined,
  { dir, checksum, itemize, json }: Options,
): Promise<void> {
  if (dir !== undefined || checksum === true || itemize === true)
    throw new MirrorError('invalid', '--bytes compares two snapshots, and lists nothing')
  const [from, to] = specsOf(a, b)
  const query = { toTree: to.tree, ...(to.ref === undefined ? {} : { toRef: to.ref }) }
  const answer = await api.get<DiffBytesAnswer>(treeUrl(from, 'diff-bytes', query), signal)
  if (json === true) {
    await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  const { newBlocks, newBytes, zstdBytes, indexBytes, deltas } = answer
  const name = ({ tree, sequence }: SnapshotPlace): string => `${tree}@${sequence}`
  const lines = [
    `${name(answer.from)} to ${name(answer.to)}: ${countOf(newBlocks, 'new block')}, ${formatBytes(newBytes)}`,
    `as blocks  about ${formatBytes(zstdBytes)}, compressed where it pays`,
    deltas === null
      ? 'as deltas  there are none between the two'
      : `as deltas  ${formatBytes(deltas.bytes)} for ${formatBytes(deltas.targetBytes)}, ` +
        `and about ${formatBytes(deltas.restZstdBytes)} of blocks that have none`,
    `and index  ${formatBytes(indexBytes)} of new pages, over the older ones`,
  ]
  await terminal.print(`${lines.join('\n')}\n`)
}

/** Of whole snapshots. */
function specsOf(a: string, b: string | undefined): [TreeSpec, TreeSpec] {
  const from = parseTreeSpec(a)
  const to: TreeSpec = b === undefined ? { tree: from.tree } : parseTreeSpec(b)
  if (from.path === undefined && to.path === undefined) return [from, to]
  throw new MirrorError('invalid', 'diff compares whole snapshots: leave the paths out')
}

function urlOf(a: string, b: string | undefined, { dir, checksum }: Options): string {
  const [from, to] = specsOf(a, b)
  if (dir === undefined) {
    if (checksum === true)
      throw new MirrorError('invalid', '--checksum needs --dir: snapshots have checksums')
    return treeUrl(from, 'diff', {
      toTree: to.tree,
      ...(to.ref === undefined ? {} : { toRef: to.ref }),
    })
  }
  if (b !== undefined)
    throw new MirrorError('invalid', 'compare with a snapshot or with --dir, not with both')
  return treeUrl(from, 'diff', { dir: resolve(dir), ...(checksum === true ? { checksum: 'true' } : {}) })
}
