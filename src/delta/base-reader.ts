/** Bytes of the base by address, in pieces of bounded size, for the anchors in them. */
import type { NodeSource } from '../dag/reader.ts'
import { getBlocks } from '../dag/source.ts'
import type { IndexMap, PlacedBlock } from './index-map.ts'
import type { BaseSpan } from './place-blocks.ts'

export interface BasePiece {
  readonly address: number
  readonly bytes: Uint8Array
}

const PIECE_BYTES = 1024 * 1024

/** Whole blocks from the one that holds `from` to the one that holds the last byte before `to`, those that `isWanted`. */
export async function* readSpan(
  source: NodeSource,
  base: IndexMap,
  { from, to }: BaseSpan,
  signal?: AbortSignal,
): AsyncGenerator<BasePiece, void, undefined> {
  let blocks: PlacedBlock[] = []
  let lengthBytes = 0
  const take = async (): Promise<BasePiece> => {
    const [cids, { address }] = [blocks.map(({ cid }) => cid), blocks[0]!]
    blocks = []
    lengthBytes = 0
    const parts = await getBlocks(source, cids, 'base of a delta', signal)
    return { address, bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts) }
  }
  for (let at = from; at < Math.min(to, base.sizeBytes); ) {
    const block = await base.blockHolding(at)
    blocks.push(block)
    lengthBytes += block.lengthBytes
    if (lengthBytes >= PIECE_BYTES) yield await take()
    at = block.address + block.lengthBytes
  }
  if (blocks.length > 0) yield await take()
}
