/** `tree`: the named things that are replicated. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { describeHeldBack } from '../../../src/replica/status/held-back-status.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { HeadDocument, TreeDocument } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { createTree, findTree } from '../ensure-tree.ts'
import { findPublisher } from '../find-publisher.ts'
import { formatBytes, formatCount, formatTime } from '../quantity.ts'
import { formatTable } from '../table.ts'
import {
  addSettings,
  describeGate,
  describeKeep,
  type SettingsOptions,
  settingsOf,
} from '../tree-settings.ts'
import { nameOfTree } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'
import { describeInPlace } from './status.ts'
import { define as defineDelete } from './tree-delete.ts'
import { define as defineEpochs } from './tree-epoch.ts'
import { define as defineRollback } from './tree-rollback.ts'
import { define as defineSet } from './tree-set.ts'
import { define as defineTakedown } from './tree-takedown.ts'
import { define as defineVerdict } from './tree-verdict.ts'

interface Options {
  readonly json?: boolean
}

interface CreateOptions extends SettingsOptions {
  readonly publisher?: string
}

export function define(command: Command, context: Context): void {
  addSettings(
    command
      .command('create')
      .description(
        'create a tree and name the site whose node may publish it (signed by an admin, or by this node when a grant lets it)',
      )
      .argument('<TREE>', 'its name')
      .option('--publisher <SITE>', 'the site, or a PeerId; this one when left out'),
    { isChange: false },
  ).action((tree: string, options: CreateOptions) => create(context, tree, options))
  command
    .command('list')
    .description('list the trees of the mesh')
    .option('--json', 'print them as JSON')
    .action((options: Options) => list(context, options))
  command
    .command('show')
    .description('show one tree: publisher, head, tags, where it is kept')
    .argument('<TREE>', 'its name')
    .option('--json', 'print it as JSON')
    .action((tree: string, options: Options) => show(context, tree, options))
  command
    .command('history')
    .description('list the heads of a tree, newest first')
    .argument('<TREE>', 'its name')
    .option('--limit <N>', 'at most this many', '100')
    .option('--json', 'print them as JSON')
    .action((tree: string, options: Options & { limit: string }) => history(context, tree, options))
  defineDelete(command, context)
  defineTakedown(command, context)
  defineRollback(command, context)
  defineEpochs(command, context)
  defineSet(command, context)
  defineVerdict(command, context)
}

async function create(context: Context, text: string, options: CreateOptions): Promise<void> {
  const tree = nameOfTree(text)
  if ((await findTree(context, tree))?.epoch != null)
    throw new MirrorError('conflict', `there is a tree ${tree} already`)
  const { peer, site } = await findPublisher(context, options.publisher)
  await createTree(context, tree, peer, settingsOf(options))
  await context.terminal.print(
    `${tree}: created, published by ${site ?? peer}${options.private === true ? ', private' : ''}\n`,
  )
}

async function list({ api, signal, terminal }: Context, { json }: Options): Promise<void> {
  const { trees } = await api.get<{ trees: TreeDocument[] }>('/api/v1/trees', signal)
  if (json === true) {
    await terminal.print(`${JSON.stringify({ trees }, null, 2)}\n`)
    return
  }
  await terminal.print(
    formatTable(
      [
        { title: 'TREE' },
        { title: 'HEAD', align: 'right' },
        { title: 'FILES', align: 'right' },
        { title: 'SIZE', align: 'right' },
        { title: 'PUBLISHED' },
        { title: 'TAGS' },
      ],
      trees.map((each) => [
        each.tree + (each.readers === 'granted' ? ' (private)' : '') + (each.isForked ? ' (forked)' : ''),
        ...headCells(each.head),
        each.tags.map(({ tag, sequence }) => `${tag}=@${sequence}`).join(' '),
      ]),
    ),
  )
}

function headCells(head: HeadDocument | null): string[] {
  if (head === null) return ['-', '-', '-', '-']
  return [
    `@${head.sequence}`,
    head.files === null ? '-' : formatCount(head.files),
    head.bytes === null ? '-' : formatBytes(head.bytes),
    formatTime(head.timeMs),
  ]
}

async function show(context: Context, text: string, { json }: Options): Promise<void> {
  const { api, signal, terminal } = context
  const tree = nameOfTree(text)
  const [found, status] = await Promise.all([
    api.get<TreeDocument>(treeUrl({ tree }, ''), signal),
    api.get<StatusDocument>('/api/v1/status', signal),
  ])
  const known = status.trees.find((each) => each.tree === tree)
  const kept = known?.sites ?? []
  const { inPlace, heldBack } = known ?? {}
  if (json === true) {
    await terminal.print(
      `${JSON.stringify({ ...found, sites: kept, ...(inPlace === undefined ? {} : { inPlace }), ...(heldBack === undefined ? {} : { heldBack }) }, null, 2)}\n`,
    )
    return
  }
  const siteOf = (peer: string): string => status.sites.find((each) => each.peer === peer)?.site ?? peer
  const [sequence, files, bytes, time] = headCells(found.head)
  const lines = [
    `tree       ${tree}${found.isForked ? '  FORKED: it stays at its last good head' : ''}`,
    ...(found.kind === 'simple' ? [] : [`kind       ${found.kind}`]),
    ...(found.readers === 'granted' ? ["readers    its publishers, and members with a reader's grant"] : []),
    ...(found.gate === null ? [] : [`gate       ${describeGate(found.gate)}`]),
    ...(found.keep === null ? [] : [`kept       ${describeKeep(found.keep)}`]),
    `publisher  ${found.epoch === null ? 'none' : `${siteOf(found.epoch.publisher)} (epoch ${found.epoch.epoch})`}`,
    found.head === null
      ? 'head       nothing published yet'
      : `head       ${sequence}  ${files} ${files === '1' ? 'file' : 'files'}, ${bytes}, ${time}\nsnapshot   ${found.head.snapshot}`,
    ...(found.fork?.tips ?? []).map(
      (tip) => `branch     ends in @${tip.sequence} ${tip.snapshot}, by ${siteOf(tip.publisher)}`,
    ),
    ...found.encodings.map(
      (each) =>
        `deltas     from @${each.baseSequence}: ${formatBytes(each.bytes)} for ${formatBytes(each.targetBytes)}` +
        (each.isComplete ? '' : ', more are being made'),
    ),
    ...found.tags.map((each) => `tag        ${each.tag} = @${each.sequence}`),
    ...(heldBack === undefined
      ? []
      : [`held back  ${describeHeldBack(heldBack)}; see: tree pending ${tree}`]),
    ...(inPlace === undefined ? [] : [`in place   ${describeInPlace(inPlace)}`]),
    ...kept.map((each) => `kept at    ${each.site}: ${each.state}`),
  ]
  await terminal.print(`${lines.join('\n')}\n`)
}

async function history(
  { api, signal, terminal }: Context,
  text: string,
  { json, limit }: Options & { limit: string },
): Promise<void> {
  const tree = nameOfTree(text)
  if (!/^[1-9]\d{0,5}$/.test(limit))
    throw new MirrorError('invalid', `--limit is a number from 1, not ${limit}`)
  const { heads } = await api.get<{ heads: HeadDocument[] }>(treeUrl({ tree }, 'history', { limit }), signal)
  if (json === true) {
    await terminal.print(`${JSON.stringify({ tree, heads }, null, 2)}\n`)
    return
  }
  await terminal.print(
    formatTable(
      [
        { title: 'HEAD', align: 'right' },
        { title: 'FILES', align: 'right' },
        { title: 'SIZE', align: 'right' },
        { title: 'PUBLISHED' },
        { title: 'EPOCH', align: 'right' },
        { title: 'SNAPSHOT' },
      ],
      heads.map((head) => [...headCells(head), String(head.epoch), head.snapshot]),
    ),
  )
}
