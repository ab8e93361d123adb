/**
 * The store as each tree has it (BlockStore.of), by what the records say of its readers. Whoever fetches, imports or serves a
 * tree, or reads of it what is not proved complete, goes through here: docs/decisions/0013-private-trees.md.
 */
import type { Clock } from '../../base/clock.ts'
import { type MeshState, readersInclude } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'

export type BlocksOf = (tree: string) => BlockStore

export function createBlocksOf(
  blocks: Pick<BlockStore, 'of'>,
  { state, clock }: { readonly state: () => MeshState; readonly clock: Pick<Clock, 'nowMs'> },
): BlocksOf {
  return (tree) =>
    blocks.of({
      tree,
      isPrivate: () => isPrivateTree(state(), tree),
      mayTakeFrom: (other) => readersInclude(state(), other, tree, clock.nowMs()),
    })
}

/** What is not said to be for all members is private; so is what is not known. */
export function isPrivateTree({ trees }: Pick<MeshState, 'trees'>, tree: string): boolean {
  return trees.get(tree)?.body.readers !== 'members'
}
