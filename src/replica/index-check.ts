/**
 * Whether every block that a snapshot's index lists is stored. Cheaper than the walk of the closure, and enough where
 * the index is known to be right: after an import, or after a walk has once proved it (closure-check.ts).
 */
import { isMirrorError } from '../base/errors.ts'
import { type Cid, parseCid } from '../block/cid.ts'
import { listPages, readPage } from '../dag/reader.ts'
import { decodeSnapshot } from '../dag/snapshot.ts'
import type { BlockReader } from '../store/block-store.ts'

/** The first block that is missing: the snapshot's own, a node of its index, or a listed one. */
export async function findMissing(
  blocks: BlockReader,
  snapshot: Cid,
  signal?: AbortSignal,
): Promise<Cid | undefined> {
  const bytes = await blocks.get(snapshot, signal)
  if (bytes === undefined) return snapshot
  try {
    for await (const { cid } of listPages(blocks, decodeSnapshot(snapshot, bytes).index, signal)) {
      signal?.throwIfAborted()
      const page = await readPage(blocks, cid, signal)
      const listed = page.blocks.map((block) => block.cid)
      const at = (await blocks.has(listed)).indexOf(false)
      if (at >= 0) return listed[at]
    }
    return undefined
  } catch (error) {
    if (!isMirrorError(error, 'not-found') || typeof error.facts.cid !== 'string') throw error
    return parseCid(error.facts.cid)
  }
}
