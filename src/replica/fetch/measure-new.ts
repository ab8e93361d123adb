import type { Cid } from '../../block/cid.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { NodeSource } from '../../dag/source.ts'
import { getBlock } from '../../dag/source.ts'
import { listNewBlocks } from '../../delta/list-new-blocks.ts'

/**
 * Plain bytes of a snapshot's blocks that a base lacks, and of all its blocks. Nothing is new where more has changed than is
 * compared at a time: no deltas are made then either.
 */
export async function measureNew(
  blocks: NodeSource,
  { snapshot, base }: { readonly snapshot: Cid; readonly base: Cid },
  signal: AbortSignal,
): Promise<{ newBytes: number; blockBytes: number }> {
  const after = decodeSnapshot(snapshot, await getBlock(blocks, snapshot, 'snapshot', signal))
  const before = decodeSnapshot(base, await getBlock(blocks, base, 'snapshot', signal))
  const { blockBytes } = after.counts
  if (after.index.equals(before.index)) return { newBytes: 0, blockBytes }
  const news = await listNewBlocks(blocks, { target: after.index, base: before.index }, signal)
  let newBytes = 0
  if (news !== undefined) for await (const { lengthBytes } of news) newBytes += lengthBytes
  return { newBytes, blockBytes }
}
