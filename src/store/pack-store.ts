/**
 * The block store over packs and an index: what is put is readable at once, and durable after the next flush
 * (pack-writer.ts). It flushes by itself when what is pending grows old or large.
 */
import type { Clock } from '../base/clock.ts'
import type { ErrorFacts } from '../base/errors.ts'
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey, cidToKeyBytes, verifyBlock } from '../block/cid.ts'
import type { BlockPlace, BlockStore, CorruptBlock, PutOptions } from './block-store.ts'
import type { Collect } from './collection.ts'
import { createCollect } from './collection.ts'
import type { FileOps } from './files.ts'
import { createFreeSpace } from './free-space.ts'
import { groupCommit } from './group-commit.ts'
import type { Place } from './index.ts'
import { createLeases } from './leases.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from './pack.ts'
import { createPackCollection } from './pack-collection.ts'
import { createPackFolder } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'
import { createPackReader } from './pack-reader.ts'
import type { KeyedBytes } from './pack-writer.ts'
import { createPackWriter } from './pack-writer.ts'
import { recoverPacks } from './recovery.ts'
import { createReservedPacks } from './reserved-packs.ts'
import type { Scrub } from './scrub.ts'
import { createScrub } from './scrub.ts'

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
  /** A collection compacts packs with a larger share of garbage. */
  readonly maxGarbageShare?: number
}

export interface PackStore extends BlockStore {
  readonly collect: Collect
  readonly scrub: Scrub
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
    maxGarbageShare = 0.25,
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
  const leases = createLeases()
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
    const keys = cids.map(cidToKeyBytes)
    leases.touch(keys)
    const deletion = leases.deleting(keys)
    // Not awaited in vain: the look-up is on its way when this call returns.
    if (deletion !== undefined) await deletion
    const places: (Place | undefined)[] = cids.map((cid) => writer.pending.get(cidKey(cid)))
    const asked = places.flatMap((place, i) => (place === undefined ? [i] : []))
    if (asked.length === 0) return places
    const found = await index.find(asked.map((i) => keys[i]!))
    for (const [n, i] of asked.entries()) places[i] = found[n]
    return places
  }

  const scrub = createScrub({ files, index, folder, reader, clock, log, onCorrupt })
  const store: PackStore = {
    async get(cid, signal) {
      let [place] = await find([cid])
      while (place !== undefined) {
        signal?.throwIfAborted()
        const bytes = await reader.read(cid, place)
        if (bytes instanceof Uint8Array) return bytes
        // A collection may have moved the block, or have taken it, since it was looked up.
        const [now] = await find([cid])
        if (now !== undefined && now.packId === place.packId && now.offset === place.offset) {
          onCorrupt({ cid, path: folder.pathOf(place.packId), offset: place.offset, reason: bytes.reason })
          await index.forget(cidToKeyBytes(cid), place)
          ;[place] = await find([cid])
          if (place !== undefined && place.packId === now.packId && place.offset === now.offset)
            return undefined
        } else {
          place = now
        }
      }
      return undefined
    },

    async has(cids) {
      return (await find(cids)).map((place) => place !== undefined)
    },

    async put(blocks: readonly Block[], { verified = false }: PutOptions = {}) {
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
      for (const [i, { cid, bytes }] of blocks.entries()) {
        const name = cidKey(cid)
        if (places[i] === undefined && !writer.pending.has(name))
          added.set(name, { key: cidToKeyBytes(cid), bytes })
      }
      if (added.size === 0) return
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
      leases.touch(entries.map(({ key }) => key))
      await reservedPacks.commitPacked(packId, entries)
    },

    releasePack: reservedPacks.releasePack,

    claimSpace: freeSpace.take,

    lease: leases.lease,
    leases: leases.list,

    collect: (options) => collect(options),

    scrub,

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
  const collect = createCollect(
    createPackCollection(
      {
        files,
        index,
        folder,
        reader,
        writer,
        reservedPacks,
        freeSpace,
        leases,
        blocks: store,
        commit,
        log,
        onCorrupt,
      },
      { maxPackBytes, maxGarbageShare },
    ),
  )
  return store
}

async function verifyAll(blocks: readonly Block[]): Promise<void> {
  for (const { cid, bytes } of blocks) verifyBlock(cid, bytes)
}
