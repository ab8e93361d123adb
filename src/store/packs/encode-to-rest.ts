/** Blocks as they shall rest in packs: plain, or as a zstd frame that the caller has or that is made here. */
import { REST_LEVEL, tryZstdLater } from '../../block/encoding.ts'
import type { PutBlock, StoreCompression } from '../block-store.ts'
import type { KeyedBytes } from './pack-writer.ts'

/** What is to be stored, by what the store knows it by. */
export interface KeyedPut {
  readonly key: Uint8Array
  readonly name: string
  readonly block: PutBlock
}

export async function encodeToRest(
  blocks: readonly KeyedPut[],
  { verified, compression }: { readonly verified: boolean; readonly compression: StoreCompression },
): Promise<KeyedBytes[]> {
  const all: KeyedBytes[] = []
  for (const { key, name, block } of blocks) {
    const { bytes, zstd } = block
    const given = verified && compression !== 'none' ? zstd : undefined
    const frame = given ?? (compression === 'zstd' ? await tryZstdLater(bytes, REST_LEVEL) : undefined)
    all.push(
      frame === undefined ? { key, name, bytes } : { key, name, bytes: frame, zstdOfBytes: bytes.length },
    )
  }
  return all
}
