/**
 * What is remembered of pages of block indexes that were read: 4 bytes of the digest of each block, sorted. Enough to know of a
 * page, without reading it again, that it does not list a block; where it may, the page has the last word. Pages are named by
 * their CIDs, which snapshots of one tree have in common, mostly.
 *
 * Bounded: those that were asked for least lately are forgotten. 64 MiB tell of trees of 1 TiB in all, in chunks of 64 KiB.
 */
import { LRUCache } from 'lru-cache'
import type { Cid } from '../../block/cid.ts'

export interface PageFingerprints {
  /** Undefined: the page is not known here. @param pageKey `cidKey` of its CID */
  mayHave(pageKey: string, cid: Cid): boolean | undefined
  note(pageKey: string, cids: readonly Cid[]): void
}

const MAX_BYTES = 64 * 1024 * 1024

export function createPageFingerprints(maxBytes = MAX_BYTES): PageFingerprints {
  const pages = new LRUCache<string, Uint32Array>({
    maxSize: maxBytes,
    sizeCalculation: ({ byteLength }) => byteLength + 1,
  })
  return {
    mayHave(pageKey, cid) {
      const words = pages.get(pageKey)
      return words && isIn(words, wordOf(cid))
    },
    note(pageKey, cids) {
      if (!pages.has(pageKey)) pages.set(pageKey, Uint32Array.from(cids, wordOf).sort())
    },
  }
}

function wordOf({ multihash: { digest } }: Cid): number {
  return ((digest[0]! << 24) | (digest[1]! << 16) | (digest[2]! << 8) | digest[3]!) >>> 0
}

function isIn(words: Uint32Array, word: number): boolean {
  let low = 0
  let high = words.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (words[middle]! < word) low = middle + 1
    else high = middle
  }
  return words[low] === word
}
