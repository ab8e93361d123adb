/**
 * Decides in which encoding a block leaves this node. What rests compressed is sent as it rests. What rests plain is
 * compressed for far peers only, where it pays, in another thread; the result is kept for a while, so that a block that
 * several of them ask for is compressed once. Everything given was verified when it was read.
 */
import { LRUCache } from 'lru-cache'
import { Semaphore } from '../../base/semaphore.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { EncodedBlock } from '../../block/encoding.ts'
import { tryZstdLater, WIRE_LEVEL } from '../../block/encoding.ts'
import type { BlockStore } from '../../store/block-store.ts'

export interface WireEncoder {
  /**
   * The blocks as they shall travel, one answer for each CID, in order; undefined for what is not stored. How much they are
   * is the caller's to bound. Read out of `from`: what that has not is not given, although it may be at hand.
   */
  encode(
    cids: readonly Cid[],
    isFar: boolean,
    signal?: AbortSignal,
    from?: WireSource,
  ): Promise<(EncodedBlock | undefined)[]>
}

export type WireSource = Pick<BlockStore, 'getEncoded' | 'has'>

const CACHE_BYTES = 32 * 1024 * 1024
/** What remembering a block that does not pay counts for. */
const NOTE_BYTES = 256
/** Calls that read for far peers at a time: while the blocks of one are compressed, those of the other are read. */
const MAX_COMPRESSING = 2

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
  /** In hand now: those of MAX_COMPRESSING calls. */
  const making = new Map<string, Promise<EncodedBlock>>()
  const turns = new Semaphore(MAX_COMPRESSING)

  async function make(key: string, block: EncodedBlock): Promise<EncodedBlock> {
    const frame = await tryZstdLater(block.bytes, WIRE_LEVEL)
    if (frame === undefined) {
      made.set(key, false)
      return block
    }
    const encoded = { encoding: 'zstd', bytes: frame, lengthBytes: block.lengthBytes } as const
    made.set(key, encoded)
    return encoded
  }

  function travelling(key: string, block: EncodedBlock): EncodedBlock | Promise<EncodedBlock> {
    if (block.encoding !== 'plain') return block
    const known = made.get(key)
    if (known !== undefined) return known === false ? block : known
    const result = making.get(key) ?? make(key, block).finally(() => making.delete(key))
    making.set(key, result)
    return result
  }

  return {
    async encode(cids, isFar, signal, from) {
      const source = from ?? blocks
      if (!isFar) return source.getEncoded(cids, signal)
      const keys = cids.map(cidKey)
      // Read only when it is its turn: who waits holds no block, and leaves the queue when the request is cancelled.
      const release = keys.every((key) => made.get(key)) ? undefined : await turns.acquire(1, signal)
      try {
        // What was made for another tree is this one's only if the block is.
        const has = from !== undefined && keys.some((key) => made.get(key)) ? await from.has(cids) : undefined
        const found = keys.map((key, i) => (has?.[i] !== false && made.get(key)) || undefined)
        const wanted = found.flatMap((block, i) => (block === undefined ? [i] : []))
        if (wanted.length === 0) return found
        const stored = await source.getEncoded(
          wanted.map((i) => cids[i]!),
          signal,
        )
        await Promise.all(
          wanted.map(async (i, n) => {
            const block = stored[n]
            if (block !== undefined) found[i] = await travelling(keys[i]!, block)
          }),
        )
        return found
      } finally {
        release?.()
      }
    },
  }
}
