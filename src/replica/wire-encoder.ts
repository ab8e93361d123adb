/**
 * Decides in which encoding a block leaves this node. What rests compressed is sent as it rests. What rests plain is
 * compressed for far peers only, where it pays, in another thread; the result is kept for a while, so that a block that
 * several of them ask for is compressed once. Everything given was verified when it was read.
 */
import { LRUCache } from 'lru-cache'
import { Semaphore } from '../base/semaphore.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { EncodedBlock } from '../block/encoding.ts'
import { tryZstdLater, WIRE_LEVEL } from '../block/encoding.ts'
import type { BlockStore } from '../store/block-store.ts'

export interface WireEncoder {
  /** The block as it shall travel; undefined when it is not stored. */
  encode(cid: Cid, isFar: boolean, signal?: AbortSignal): Promise<EncodedBlock | undefined>
}

const CACHE_BYTES = 32 * 1024 * 1024
/** What remembering a block that does not pay counts for. */
const NOTE_BYTES = 256
/** Blocks read and waiting to be compressed: enough for a thread to always have the next. */
const MAX_COMPRESSING = 8

export function createWireEncoder(
  { blocks }: { readonly blocks: Pick<BlockStore, 'getEncoded'> },
  { cacheBytes = CACHE_BYTES }: { readonly cacheBytes?: number } = {},
): WireEncoder {
  /** Frames of blocks that rest plain; false where it did not pay. */
  const made = new LRUCache<string, EncodedBlock | false>({
    maxSize: cacheBytes,
    maxEntrySize: cacheBytes,
    sizeCalculation: (block) => NOTE_BYTES + (block === false ? 0 : block.bytes.length),
  })
  /** In hand now: MAX_COMPRESSING at most. */
  const making = new Map<string, Promise<EncodedBlock | undefined>>()
  const threads = new Semaphore(MAX_COMPRESSING)

  async function make(key: string, cid: Cid): Promise<EncodedBlock | undefined> {
    const block = await blocks.getEncoded(cid)
    if (block === undefined || block.encoding !== 'plain') return block
    const frame = await tryZstdLater(block.bytes, WIRE_LEVEL)
    if (frame === undefined) {
      made.set(key, false)
      return block
    }
    const encoded = { encoding: 'zstd', bytes: frame, lengthBytes: block.lengthBytes } as const
    made.set(key, encoded)
    return encoded
  }

  return {
    async encode(cid, isFar, signal) {
      if (!isFar) return blocks.getEncoded(cid, signal)
      const key = cidKey(cid)
      // Read only when it is its turn: who waits holds no block, and leaves the queue when the request is cancelled.
      const release = made.has(key) ? undefined : await threads.acquire(1, signal)
      try {
        const known = made.get(key)
        if (known === false) return await blocks.getEncoded(cid, signal)
        if (known !== undefined) return known
        const result = making.get(key) ?? make(key, cid).finally(() => making.delete(key))
        making.set(key, result)
        return await result
      } finally {
        release?.()
      }
    },
  }
}
