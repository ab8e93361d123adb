/**
 * The proof that a snapshot is complete here: its DAG is walked from the root through the store, and every block that
 * it reaches is there. The block index was only a plan; a snapshot whose index leaves something out is not complete.
 */
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey, parseCid } from '../block/cid.ts'
import { closure, listPages, readPage } from '../dag/reader.ts'
import type { Snapshot } from '../dag/snapshot.ts'
import type { BlockReader } from '../store/block-store.ts'

const BATCH = 1024

/**
 * @throws MirrorError `corrupt` when the snapshot reaches a block that its index does not list; `unstable` when a
 *   listed block is no longer stored here (its copy was found damaged): fetching again mends it
 */
export async function checkClosure(
  blocks: BlockReader,
  snapshot: Snapshot,
  signal: AbortSignal,
): Promise<void> {
  let batch: Cid[] = []
  const check = async (): Promise<void> => {
    const has = await blocks.has(batch)
    const at = has.indexOf(false)
    if (at >= 0) throw await explainMissing(blocks, snapshot, batch[at]!, signal)
    batch = []
  }
  try {
    for await (const { cid } of closure(blocks, snapshot.root, signal)) {
      batch.push(cid)
      if (batch.length >= BATCH) {
        await check()
        signal.throwIfAborted()
      }
    }
    await check()
  } catch (error) {
    if (!isMirrorError(error, 'not-found') || typeof error.facts.cid !== 'string') throw error
    throw await explainMissing(blocks, snapshot, parseCid(error.facts.cid), signal)
  }
}

async function explainMissing(
  blocks: BlockReader,
  snapshot: Snapshot,
  missing: Cid,
  signal: AbortSignal,
): Promise<MirrorError> {
  const key = cidKey(missing)
  const facts = { cid: missing.toString(), tree: snapshot.tree }
  for await (const { cid } of listPages(blocks, snapshot.index, signal)) {
    const page = await readPage(blocks, cid, signal)
    if (page.blocks.some((block) => cidKey(block.cid) === key))
      return new MirrorError('unstable', `block ${missing.toString()} was stored and is not any more`, {
        facts,
        hint: 'Its copy was damaged on disk. It is fetched again; check the disk.',
      })
  }
  return new MirrorError(
    'corrupt',
    `the snapshot of ${snapshot.tree} reaches block ${missing.toString()}, which its block index does not list`,
    {
      facts,
      hint: 'The publisher has to publish the tree again; this snapshot cannot be completed anywhere.',
    },
  )
}
