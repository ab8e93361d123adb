/**
 * `tree hand-over` and `tree resolve-fork`: an admin starts a new epoch of a tree, with the publisher whose heads count
 * from then on and the head that it goes on from.
 */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { HeadDocument, TreeDocument } from '../../api/answers.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { findPublisher } from '../find-publisher.ts'
import { formatTime } from '../quantity.ts'
import { nameOfTree } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

interface Options {
  readonly publisher?: string
  readonly keep?: string
  readonly yes?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('hand-over')
    .description('give a tree another publisher, who goes on from its head (signed by an admin)')
    .argument('<TREE>', 'its name')
    .requiredOption('--publisher <SITE>', 'the site, or a PeerId')
    .option('--json', 'print the new epoch as JSON')
    .action((tree: string, options: Options) => handOver(context, tree, options))
  command
    .command('resolve-fork')
    .description('choose the branch that a forked tree goes on from (signed by an admin)')
    .argument('<TREE>', 'its name')
    .option(
      '--keep <HEAD>',
      'the end of the branch: the beginning of a snapshot or head as tree show prints it',
    )
    .option('--publisher <SITE>', 'who publishes from then on; as before when left out')
    .option('--yes', 'do not ask')
    .option('--json', 'print the new epoch as JSON')
    .action((tree: string, options: Options) => resolveFork(context, tree, options))
}

async function handOver(context: Context, text: string, { publisher, json }: Options): Promise<void> {
  const name = nameOfTree(text)
  const tree = await context.api.get<TreeDocument>(treeUrl({ tree: name }, ''), context.signal)
  if (tree.fork !== null) {
    throw new MirrorError('conflict', `${name} is in dispute: first say which branch stays`, {
      hint: `See: ${context.self} tree resolve-fork ${name} --publisher ${publisher}`,
    })
  }
  const { peer, site } = await findPublisher(context, publisher)
  if (tree.epoch?.publisher === peer)
    throw new MirrorError('conflict', `${site ?? peer} publishes ${name} already`)
  const epoch = await startEpoch(context, tree, peer, tree.epoch?.id ?? null, tree.head)
  await say(context, { tree: name, epoch, publisher: peer, head: tree.head }, site ?? peer, json)
}

async function resolveFork(context: Context, text: string, options: Options): Promise<void> {
  const name = nameOfTree(text)
  const tree = await context.api.get<TreeDocument>(treeUrl({ tree: name }, ''), context.signal)
  if (tree.fork === null) throw new MirrorError('conflict', `${name} is not in dispute`)
  const { fork } = tree
  const ends = fork.tips.length > 0 ? fork.tips : tree.head === null ? [] : [tree.head]
  const { keep } = options
  const chosen =
    keep === undefined
      ? []
      : ends.filter(({ id, snapshot }) => snapshot.startsWith(keep) || id.startsWith(keep))
  if (chosen.length !== 1 && !(ends.length === 0 && keep === undefined)) {
    const lines = ends.map((head) => `  ${describe(head)}`).join('\n')
    const problem =
      keep === undefined
        ? 'say which branch stays'
        : `--keep ${keep} is the end of ${chosen.length === 0 ? 'no' : 'more than one'} branch`
    throw new MirrorError('invalid', `${problem}. Branches of ${name} end in\n${lines}`, {
      hint: `For example: ${context.self} tree resolve-fork ${name} --keep ${ends[0]?.snapshot ?? 'SNAPSHOT'}`,
    })
  }
  const head = chosen[0] ?? null
  const publisher = options.publisher ?? tree.epoch?.publisher ?? head?.publisher
  const { peer, site } = await findPublisher(context, publisher)
  context.terminal.say(
    head === null
      ? `${name} starts anew`
      : `${name} goes on from ${describe(head)}; ${ends.length === 2 ? 'the other branch ends' : `${ends.length - 1} other branches end`}`,
  )
  await confirm(context, 'Start the new epoch?', options.yes === true)
  const before = fork.kind === 'epochs' ? fork.records[0]! : (tree.epoch?.id ?? null)
  const epoch = await startEpoch(context, tree, peer, before, head)
  await say(context, { tree: name, epoch, publisher: peer, head }, site ?? peer, options.json)
}

function describe({ sequence, snapshot, publisher, timeMs }: HeadDocument): string {
  return `@${sequence} ${snapshot}, published ${formatTime(timeMs)} by ${publisher}`
}

/** @param before CID of the epoch that it follows; null for the first. Returns its number. */
export async function startEpoch(
  context: Context,
  tree: TreeDocument,
  peer: string,
  before: string | null,
  base: HeadDocument | null,
): Promise<number> {
  const [{ loadAdminKey, nextVersion, signAndSubmit }, { publicKeyOf }, { bodyOfTree }, { parseCid }] =
    await Promise.all([
      import('../sign.ts'),
      import('../../../src/record/key.ts'),
      import('../tree-body.ts'),
      import('../../../src/block/cid.ts'),
    ])
  const admin = await loadAdminKey(context)
  const name = tree.tree
  if (!tree.publishers.includes(peer)) {
    await signAndSubmit(context, admin, 'tree', {
      ...bodyOfTree(tree, await nextVersion(context, { kind: 'tree', name })),
      // Those of before stay listed: what they published still counts by it.
      publishers: [...tree.publishers, peer].map((each) => publicKeyOf(each)).toSorted(Buffer.compare),
    })
  }
  const epoch = Math.max(tree.epoch?.epoch ?? 0, tree.fork?.kind === 'epochs' ? tree.fork.epoch : 0) + 1
  await signAndSubmit(context, admin, 'epoch', {
    tree: name,
    epoch,
    previous: before === null ? null : parseCid(before),
    publisher: publicKeyOf(peer),
    base: base === null ? null : parseCid(base.id),
  })
  return epoch
}

async function say(
  { terminal }: Context,
  {
    tree,
    epoch,
    publisher,
    head,
  }: { tree: string; epoch: number; publisher: string; head: HeadDocument | null },
  who: string,
  json: boolean | undefined,
): Promise<void> {
  const sequence = head?.sequence ?? null
  await terminal.print(
    json === true
      ? `${JSON.stringify({ tree, epoch, publisher, sequence, snapshot: head?.snapshot ?? null }, null, 2)}\n`
      : `${tree}: epoch ${epoch}, published by ${who}${sequence === null ? '' : `, after @${sequence}`}\n`,
  )
}
