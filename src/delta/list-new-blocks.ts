import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { IndexedBlock } from '../dag/block-index.ts'
import type { NodeSource } from '../dag/source.ts'
import { findNewBlocks } from './new-blocks.ts'

/**
 * The blocks that one block index has and another lacks, in order; undefined when more have changed than is held in memory.
 * Pages that both have are passed over.
 */
export async function listNewBlocks(
  source: NodeSource,
  indexes: { readonly target: Cid; readonly base: Cid },
  signal?: AbortSignal,
): Promise<AsyncIterable<IndexedBlock> | undefined> {
  const news = await findNewBlocks(source, indexes, signal)
  if (news === undefined) return undefined
  const { target, base } = news
  const shared = new Set(base.pages.map(({ cid }) => cidKey(cid)))
  return (async function* () {
    for (const page of target.pages) {
      if (shared.has(cidKey(page.cid))) continue
      signal?.throwIfAborted()
      for (const block of await target.blocksOf(page))
        if (news.newPosition(block.cid) !== undefined) yield block
    }
  })()
}
