/**
 * Whether every block that a snapshot's index lists is stored. Cheaper than the walk of the closure, and enough where
 * the index is known to be right: after an import, or after a walk has once proved it (closure-check.ts).
 */
import { isMirrorError } from '../../base/errors.ts'
import { type Cid, parseCid, RAW } from '../../block/cid.ts'
import { closure, listPages, readPage } from '../../dag/reader.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { BlockReader } from '../../store/block-store.ts'

const BATCH = 1024

/** Of what the root of a view reaches. @throws MirrorError `not-found` naming a node */
async function findMissingOfView(
  blocks: BlockReader,
  view: Cid,
  signal: AbortSignal | undefined,
): Promise<Cid | undefined> {
  const bytes = await blocks.get(view, signal)
  if (bytes === undefined) return view
  let batch: Cid[] = []
  for await (const { cid } of closure(blocks, decodeSnapshot(view, bytes).root, signal)) {
    batch.push(cid)
    if (batch.length < BATCH) continue
    const at = (await blocks.has(batch)).indexOf(false)
    if (at >= 0) return batch[at]
    batch = []
  }
  const at = (await blocks.has(batch)).indexOf(false)
  return at >= 0 ? batch[at] : undefined
}

/**
 * With a view: of what a site needs that holds the snapshot under a path filter.
 *
 * The first block that is missing: the snapshot's own, a node of its index, or a listed one.
 */
export async function findMissing(
  blocks: BlockReader,
  snapshot: Cid,
  signal?: AbortSignal,
  view?: Cid,
): Promise<Cid | undefined> {
  const bytes = await blocks.get(snapshot, signal)
  if (bytes === undefined) return snapshot
  try {
    for await (const { cid } of listPages(blocks, decodeSnapshot(snapshot, bytes).index, signal)) {
      signal?.throwIfAborted()
      const page = await readPage(blocks, cid, signal)
      const listed = page.blocks
        .map((block) => block.cid)
        .filter((cid) => view === undefined || cid.code !== RAW)
      const at = (await blocks.has(listed)).indexOf(false)
      if (at >= 0) return listed[at]
    }
    return view === undefined ? undefined : await findMissingOfView(blocks, view, signal)
  } catch (error) {
    if (!isMirrorError(error, 'not-found') || typeof error.facts.cid !== 'string') throw error
    return parseCid(error.facts.cid)
  }
}
