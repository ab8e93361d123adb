/** Blocks as they shall rest in packs: plain, or as a zstd frame that the caller has or that is made here. */
import { cidToKeyBytes } from '../../block/cid.ts'
import { REST_LEVEL, tryZstdLater } from '../../block/encoding.ts'
import type { PutBlock, StoreCompression } from '../block-store.ts'
import type { KeyedBytes } from './pack-writer.ts'

export async function encodeToRest(
  blocks: readonly PutBlock[],
  { verified, compression }: { readonly verified: boolean; readonly compression: StoreCompression },
): Promise<KeyedBytes[]> {
  const all: KeyedBytes[] = []
  for (const { cid, bytes, zstd } of blocks) {
    const key = cidToKeyBytes(cid)
    const given = verified && compression !== 'none' ? zstd : undefined
    const frame = given ?? (compression === 'zstd' ? await tryZstdLater(bytes, REST_LEVEL) : undefined)
    all.push(frame === undefined ? { key, bytes } : { key, bytes: frame, zstdOfBytes: bytes.length })
  }
  return all
}
