/**
 * The block store over packs and an index: what is put is readable at once, and durable after the next flush
 * (pack-writer.ts). It flushes by itself when what is pending grows old or large.
 */
import type { Clock } from '../base/clock.ts'
import type { ErrorFacts } from '../base/errors.ts'
import { MirrorError } from '../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey, cidToKeyBytes, verifyBlock } from '../block/cid.ts'
import { REST_LEVEL, tryZstdLater } from '../block/encoding.ts'
import type {
  BlockPlace,
  BlockStore,
  CorruptBlock,
  PutBlock,
  PutOptions,
  StoreCompression,
} from './block-store.ts'
import type { FileOps } from './files.ts'
import { createFreeSpace } from './free-space.ts'
import { groupCommit } from './group-commit.ts'
import type { Place } from './index.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from './pack.ts'
import { createPackFolder } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'
import type { ReadBlock } from './pack-reader.ts'
import { createPackReader } from './pack-reader.ts'
import type { KeyedBytes } from './pack-writer.ts'
import { createPackWriter } from './pack-writer.ts'
import { recoverPacks } from './recovery.ts'
import { createReservedPacks } from './reserved-packs.ts'

export interface PackStoreCollaborators {
  readonly files: FileOps
  readonly index: PackIndex
  readonly clock: Clock
  readonly log: (event: string, facts: ErrorFacts) => void
  readonly onCorrupt: (damage: CorruptBlock) => void
}

export interface PackStoreOptions {
  /** The folder of packs. */
  readonly dir: string
  /** A pack is closed once it is this large. */
  readonly maxPackBytes?: number
  /** What is put is flushed without being asked once it is this much, or this old. */
  readonly autoFlushBytes?: number
  readonly autoFlushMs?: number
  /** Blocks are refused when less than this would stay free: index and records must find room. */
  readonly reserveBytes?: number
  /** Of blocks that are put; `none` by default. Packs that others fill (`reservePack`) are theirs. */
  readonly compression?: StoreCompression
}

export interface PackStore extends BlockStore {
  stats(): { readonly blocks: number; readonly packs: number; readonly packBytes: number }
  /** Flushes; gives everything back even when that fails. */
  close(): Promise<void>
}

export async function openPackStore(
  { files, index, clock, log, onCorrupt }: PackStoreCollaborators,
  {
    dir,
    maxPackBytes = 256 * 1024 * 1024,
    autoFlushBytes = 16 * 1024 * 1024,
    autoFlushMs = 500,
    reserveBytes = 64 * 1024 * 1024,
    compression = 'none',
  }: PackStoreOptions,
): Promise<PackStore> {
  const sizes = await recoverPacks({ files, index }, { dir, log, onCorrupt })
  const firstFreeId = 1 + Math.max(0, ...sizes.keys(), ...(await index.coveredBytes()).keys())
  const folder = createPackFolder({ files }, { dir, sizes, firstFreeId })
  const reader = createPackReader({ files, folder })
  const writer = createPackWriter({ files, index, folder, reader }, { maxPackBytes })
  const reservedPacks = createReservedPacks({ files, index, folder })
  const freeSpace = createFreeSpace({ files }, { dir, reserveBytes })
  const commit = groupCommit(writer.commit)
  let cancelAutoFlush: (() => void) | undefined

  function flushLater(): void {
    const run = (): void => {
      cancelAutoFlush?.()
      cancelAutoFlush = undefined
      // What failed stays pending, and whoever flushes learns of it.
      commit().catch((error: unknown) => log('store.flush.failed', { reason: String(error) }))
    }
    if (writer.pendingBytes >= autoFlushBytes) run()
    else cancelAutoFlush ??= clock.after(autoFlushMs, run)
  }

  async function find(cids: readonly Cid[]): Promise<(Place | undefined)[]> {
    const places: (Place | undefined)[] = cids.map((cid) => writer.pending.get(cidKey(cid)))
    const asked = places.flatMap((place, i) => (place === undefined ? [i] : []))
    if (asked.length === 0) return places
    const found = await index.find(asked.map((i) => cidToKeyBytes(cids[i]!)))
    for (const [n, i] of asked.entries()) places[i] = found[n]
    return places
  }

  async function read(
    cid: Cid,
    signal: AbortSignal | undefined,
  ): Promise<(ReadBlock & { readonly place: Place }) | undefined> {
    let seen: Place | undefined
    for (;;) {
      signal?.throwIfAborted()
      const [place] = await find([cid])
      if (place === undefined || (seen?.packId === place.packId && seen.offset === place.offset))
        return undefined
      const block = await reader.read(cid, place)
      if ('plain' in block) return { ...block, place }
      onCorrupt({ cid, path: folder.pathOf(place.packId), offset: place.offset, reason: block.reason })
      await index.forget(cidToKeyBytes(cid), place)
      seen = place
    }
  }

  /** As the block shall rest. */
  async function encode({ cid, bytes, zstd }: PutBlock, verified: boolean): Promise<KeyedBytes> {
    const key = cidToKeyBytes(cid)
    const given = verified && compression !== 'none' ? zstd : undefined
    const frame = given ?? (compression === 'zstd' ? await tryZstdLater(bytes, REST_LEVEL) : undefined)
    return frame === undefined ? { key, bytes } : { key, bytes: frame, zstdOfBytes: bytes.length }
  }

  return {
    get: async (cid, signal) => (await read(cid, signal))?.plain,

    async getEncoded(cid, signal) {
      const block = await read(cid, signal)
      if (block === undefined) return undefined
      const { encoding, lengthBytes } = block.place
      return { encoding, bytes: block.stored, lengthBytes }
    },

    async has(cids) {
      return (await find(cids)).map((place) => place !== undefined)
    },

    async put(blocks: readonly PutBlock[], { verified = false }: PutOptions = {}) {
      writer.checkWritable()
      for (const { bytes } of blocks) {
        if (bytes.length > MAX_BLOCK_BYTES) {
          throw new MirrorError('limit', `a block of ${bytes.length} bytes: the limit is ${MAX_BLOCK_BYTES}`)
        }
      }
      // Back-pressure, and the bound on what a crash can cost: nobody gets far ahead of the disk.
      if (writer.pendingBytes >= 4 * autoFlushBytes) await commit()
      // The index is asked in a thread of the pool while this one hashes.
      const [places] = await Promise.all([
        find(blocks.map(({ cid }) => cid)),
        verified ? undefined : verifyAll(blocks),
      ])
      let neededBytes = 0
      for (const [i, { bytes }] of blocks.entries()) {
        if (places[i] === undefined) neededBytes += bytes.length + ENTRY_HEADER_BYTES
      }
      if (neededBytes === 0) return
      await freeSpace.take(neededBytes)
      writer.checkWritable()
      const added = new Map<string, KeyedBytes>()
      for (const [i, block] of blocks.entries()) {
        const name = cidKey(block.cid)
        if (places[i] === undefined && !writer.pending.has(name)) {
          added.set(name, await encode(block, verified))
        }
      }
      for (const name of added.keys()) if (writer.pending.has(name)) added.delete(name)
      if (added.size === 0) return
      writer.checkWritable()
      writer.append([...added.values()])
      flushLater()
    },

    flush: commit,

    async locate(cids) {
      return (await find(cids)).map((place): BlockPlace | undefined => {
        if (place === undefined) return undefined
        const { packId, offset, storedBytes, lengthBytes, encoding } = place
        return { path: folder.pathOf(packId), offset, storedBytes, lengthBytes, encoding }
      })
    },

    async reservePack() {
      writer.checkWritable()
      await freeSpace.take(PACK_HEADER_BYTES)
      return reservedPacks.reservePack()
    },

    async commitPacked(packId, entries) {
      writer.checkWritable()
      await reservedPacks.commitPacked(packId, entries)
    },

    releasePack: reservedPacks.releasePack,

    claimSpace: freeSpace.take,

    stats() {
      let packBytes = 0
      for (const sizeBytes of sizes.values()) packBytes += sizeBytes
      return { blocks: index.blocks + writer.pending.size, packs: sizes.size, packBytes }
    },

    async close() {
      cancelAutoFlush?.()
      cancelAutoFlush = undefined
      try {
        if (writer.isWritable) await commit()
      } finally {
        writer.close()
        reader.close()
      }
    },
  }
}

async function verifyAll(blocks: readonly PutBlock[]): Promise<void> {
  for (const { cid, bytes } of blocks) verifyBlock(cid, bytes)
}
