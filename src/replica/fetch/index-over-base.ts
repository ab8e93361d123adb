/**
 * For the fetch of a snapshot's index at a site that has an older snapshot of the tree: what each node of it may resemble
 * there, so that it is asked for as a difference.
 */
import { asMirrorError, isMirrorError } from '../../base/errors.ts'
import type { Block } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { loadPageBases, type PageBases } from '../../dag/page-bases.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { BlockReader } from '../../store/block-store.ts'

export interface IndexOverBase {
  /** Before the index is read. Without it, and where the older snapshot is not all here any more, there are no bases. */
  begin(index: Cid, signal: AbortSignal): Promise<void>
  /** Of a node that is to be asked for. */
  basesOf(node: Cid): Promise<readonly Block[]>
  /** A node is here. */
  note(node: Cid, bytes: Uint8Array): void
}

/** @param base a snapshot of the tree that is complete here */
export function createIndexOverBase(
  { blocks }: { readonly blocks: Pick<BlockReader, 'get'> },
  base: Cid | undefined,
): IndexOverBase {
  let bases: PageBases | undefined
  return {
    async begin(index, signal) {
      const bytes = base && (await blocks.get(base, signal))
      if (base === undefined || bytes === undefined) return
      try {
        const older = decodeSnapshot(base, bytes).index
        bases = await loadPageBases(blocks, { target: index, base: older }, signal)
      } catch (error) {
        // What cannot be read of the older one is no reason not to fetch the newer one whole.
        signal.throwIfAborted()
        if (!isMirrorError(asMirrorError(error, 'read an index'), 'corrupt')) throw error
      }
    },
    async basesOf(node) {
      const found: Block[] = []
      for (const cid of bases?.basesOf(node) ?? []) {
        const bytes = await blocks.get(cid)
        if (bytes !== undefined) found.push({ cid, bytes })
      }
      return found
    },
    note: (node, bytes) => bases?.note(node, bytes),
  }
}

/** The newest of a tree's snapshots that is complete here. @param history of its heads, in order */
export function newestHeld(
  history: readonly { readonly snapshot: Cid }[] = [],
  isComplete: (snapshot: Cid) => boolean,
): Cid | undefined {
  return history.findLast(({ snapshot }) => isComplete(snapshot))?.snapshot
}
