/**
 * Small blocks that were asked for of late, kept in memory: what a thousand clients of a repository ask for again and again
 * are its small files, and looking one up, reading and hashing it again would cost more than all else that is done for it.
 *
 * Everything in it was verified when it was read. What is got is shared: nobody may change it. Large blocks and those that are
 * read many at a time, out of large files, pass by.
 */
import { LRUCache } from 'lru-cache'
import { cidKey } from '../../src/block/cid.ts'
import type { NodeSource } from '../../src/dag/source.ts'

export interface HotBlocksOptions {
  readonly maxBytes?: number
  readonly maxBlockBytes?: number
}

export function createHotBlocks(
  source: NodeSource,
  { maxBytes = 32 * 1024 * 1024, maxBlockBytes = 32 * 1024 }: HotBlocksOptions = {},
): NodeSource {
  const kept = new LRUCache<string, Uint8Array>({
    maxSize: maxBytes,
    // With its key, and what the map takes for it.
    sizeCalculation: (bytes) => bytes.length + 256,
  })
  return {
    async get(cid, signal) {
      const key = cidKey(cid)
      const known = kept.get(key)
      if (known !== undefined) return known
      const bytes = await source.get(cid, signal)
      // A copy: what was read may lie in one buffer with much else.
      if (bytes !== undefined && bytes.length <= maxBlockBytes) kept.set(key, Uint8Array.from(bytes))
      return bytes
    },
    ...(source.getMany === undefined ? {} : { getMany: source.getMany.bind(source) }),
  }
}
