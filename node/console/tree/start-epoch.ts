/** A new epoch of a tree: the publisher whose heads count from then on, and the head that they go on from. */
import type { HeadDocument, TreeDocument } from '../../api/answers.ts'
import { sign } from '../actions/keys.ts'
import { nextVersion } from '../signing/record.ts'
import { epochBody, treeBody } from './tree-body.ts'

export interface EpochStart {
  readonly publisher: string
  /** CID of the epoch that it follows; null for the first. */
  readonly before: string | null
  /** Null: the tree begins anew. */
  readonly base: HeadDocument | null
}

export async function startEpoch(tree: TreeDocument, { publisher, before, base }: EpochStart): Promise<void> {
  if (!tree.publishers.includes(publisher)) {
    // Those of before stay listed: what they published still counts by it.
    const publishers = [...tree.publishers, publisher]
    await sign('tree', treeBody({ ...tree, publishers }, await nextVersion('tree', tree.tree)))
  }
  const epoch = Math.max(tree.epoch?.epoch ?? 0, tree.fork?.kind === 'epochs' ? tree.fork.epoch : 0) + 1
  await sign(
    'epoch',
    epochBody({ tree: tree.tree, epoch, previous: before, publisher, base: base?.id ?? null }),
  )
}
