/** Bytes of the base by address, in pieces of bounded size, for the anchors in them. */
import type { NodeSource } from '../dag/reader.ts'
import { getBlock } from '../dag/source.ts'
import type { IndexMap } from './index-map.ts'
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
  let parts: Uint8Array[] = []
  let [address, lengthBytes] = [from, 0]
  const take = (): BasePiece => {
    const piece = { address, bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts) }
    parts = []
    lengthBytes = 0
    return piece
  }
  for (let at = from; at < Math.min(to, base.sizeBytes); ) {
    const block = await base.blockHolding(at)
    if (parts.length === 0) address = block.address
    const bytes = await getBlock(source, block.cid, 'base of a delta', signal)
    parts.push(bytes)
    lengthBytes += bytes.length
    if (lengthBytes >= PIECE_BYTES) yield take()
    at = block.address + block.lengthBytes
  }
  if (parts.length > 0) yield take()
}
