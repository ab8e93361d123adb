/** File-backed blocks of the store in memory: the same code as on disk, with a Map of blocks in the place of packs. */
import type { Cid } from '../../block/cid.ts'
import { cidFromKeyBytes, cidKey, cidToKeyBytes } from '../../block/cid.ts'
import type { BlockBackings } from '../block-backings.ts'
import type { CorruptBlock } from '../block-store.ts'
import { systemFiles } from '../files.ts'
import type { Place } from '../index/index.ts'
import { blockIndexKey, decodePlace, isSamePlace } from '../index/index.ts'
import { createMemoryIndex } from '../index/memory-index.ts'
import type { BackedPlaces } from './backing-index.ts'
import { createBackingIndex } from './backing-index.ts'
import { createBackingReader } from './backing-reader.ts'
import { createBackings } from './backings.ts'

export interface BackedBlocks {
  readonly backings: BlockBackings
  get(cid: Cid): Promise<Uint8Array | undefined>
  find(cids: readonly Cid[]): Promise<(Place | undefined)[]>
  close(): void
}

const IN_MEMORY: Place = { encoding: 'plain', packId: 0, offset: 0, storedBytes: 0, lengthBytes: 0 }

export function createBackedBlocks(
  blocks: Map<string, Uint8Array>,
  onCorrupt: (damage: CorruptBlock) => void,
): BackedBlocks {
  const index = createMemoryIndex()
  const blockNameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')

  async function findKeys(keys: readonly Uint8Array[]): Promise<(Place | undefined)[]> {
    const values = await index.getMany(keys.map(blockIndexKey))
    return keys.map((key, i) => {
      if (blocks.has(blockNameOf(key))) return IN_MEMORY
      const value = values[i]
      return value === undefined ? undefined : decodePlace(value)
    })
  }

  const places: BackedPlaces = {
    find: findKeys,
    getMany: index.getMany,
    entries: index.entries,
    async change(plan) {
      const { operations } = await plan()
      await index.batch(operations, { sync: false })
      for (const { type, key } of operations) {
        // A check-out has become the storage of the block.
        if (type === 'put' && key[0] === blockIndexKey(key)[0]) blocks.delete(blockNameOf(key.subarray(1)))
      }
    },
  }
  const backingIndex = createBackingIndex(places)
  const reader = createBackingReader({ files: systemFiles, index: backingIndex })

  async function lose(key: Uint8Array, place: Place, { path, reason }: { path: string; reason: string }) {
    onCorrupt({ cid: cidFromKeyBytes(key), path, offset: place.offset, reason })
    const [now] = await findKeys([key])
    if (now === undefined || !isSamePlace(now, place)) return
    await index.batch([{ type: 'del', key: blockIndexKey(key) }], { sync: false })
  }

  const find: BackedBlocks['find'] = (cids) => findKeys(cids.map(cidToKeyBytes))

  return {
    backings: createBackings({
      files: systemFiles,
      index: backingIndex,
      reader,
      nowMs: Date.now,
      find,
      async copy(copies) {
        for (const { key, bytes } of copies) blocks.set(blockNameOf(key), bytes)
      },
      flush: async () => undefined,
      lose: ({ key, place }, why) => lose(key, place, why),
    }),
    async get(cid) {
      const [place] = await find([cid])
      if (place?.encoding !== 'file') return undefined
      const bytes = await reader.read(cid, place)
      if (bytes instanceof Uint8Array) return bytes
      await lose(cidToKeyBytes(cid), place, bytes)
      return blocks.get(cidKey(cid))?.slice()
    },
    find,
    close: () => reader.close(),
  }
}
