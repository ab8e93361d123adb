/**
 * The block store over packs and an index: what is put is readable at once, and durable after the next flush
 * (pack-writer.ts). It flushes by itself when what is pending grows old or large.
 */
import type { Clock } from '../base/clock.ts'
import type { ErrorFacts } from '../base/errors.ts'
import { MirrorError } from '../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { cidFromKeyBytes, cidKey, cidToKeyBytes, verifyBlock } from '../block/cid.ts'
import type { EncodedBlock } from '../block/encoding.ts'
import { REST_LEVEL, tryZstdLater } from '../block/encoding.ts'
import type { HeldBlock } from './backing-index.ts'
import { createBackingIndex, loadBackings } from './backing-index.ts'
import { createBackingReader } from './backing-reader.ts'
import { createBackings, locateBacked } from './backings.ts'
import type { BlockBackings } from './block-backings.ts'
import type {
  BlockPlace,
  BlockStore,
  CorruptBlock,
  PutBlock,
  PutOptions,
  StoreCompression,
} from './block-store.ts'
import type { Collect } from './collection.ts'
import { createCollect } from './collection.ts'
import type { FileOps } from './files.ts'
import { createFreeSpace } from './free-space.ts'
import { groupCommit } from './group-commit.ts'
import type { FilePlace, Place } from './index.ts'
import { isSamePlace } from './index.ts'
import { createLeases } from './leases.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from './pack.ts'
import { createPackCollection } from './pack-collection.ts'
import { createPackFolder } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'
import type { ReadBlock } from './pack-reader.ts'
import { createPackReader } from './pack-reader.ts'
import type { KeyedBytes } from './pack-writer.ts'
import { createPackWriter } from './pack-writer.ts'
import { createRecentBlocks } from './recent-blocks.ts'
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
  /** Asked before a block is refused for want of space: gives up what may go on that disk, and says how much. */
  readonly makeRoom?: (sizeBytes: number) => number
  /** Of blocks that are put; `none` by default. Packs that others fill (`reservePack`) are theirs. */
  readonly compression?: StoreCompression
  /** A collection compacts packs with a larger share of garbage. */
  readonly maxGarbageShare?: number
}

interface PlacedBlock extends ReadBlock {
  readonly place: Place
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
    compression = 'none',
    maxGarbageShare = 0.25,
    makeRoom,
  }: PackStoreOptions,
): Promise<PackStore> {
  const sizes = await recoverPacks({ files, index }, { dir, log, onCorrupt })
  const firstFreeId = 1 + Math.max(0, ...sizes.keys(), ...(await index.coveredBytes()).keys())
  const folder = createPackFolder({ files }, { dir, sizes, firstFreeId })
  const reader = createPackReader({ files, folder })
  const writer = createPackWriter({ files, index, folder, reader }, { maxPackBytes })
  const reservedPacks = createReservedPacks({ files, index, folder })
  const freeSpace = createFreeSpace({ files }, { dir, reserveBytes, makeRoom })
  const commit = groupCommit(writer.commit)
  const leases = createLeases()
  const recent = createRecentBlocks()
  const backingIndex = createBackingIndex(index, await loadBackings(index))
  const backingReader = createBackingReader({ files, index: backingIndex })
  const backingStore = createBackings({
    files,
    index: backingIndex,
    reader: backingReader,
    nowMs: () => clock.nowMs(),
    find,
    async copy(blocks) {
      writer.checkWritable()
      await holdBack()
      await append(blocks)
    },
    flush: commit,
    lose,
  })
  async function lose(
    { key, place }: HeldBlock,
    { reason, path }: { readonly reason: string; readonly path: string },
  ): Promise<void> {
    onCorrupt({ cid: cidFromKeyBytes(key), path, offset: place.offset, reason })
    await index.forget(key, place)
  }

  const backings: BlockBackings = {
    ...backingStore,
    async commit(backingId, files) {
      // As for blocks that are put: a collection that runs must know that they are wanted again.
      leases.touch(files.flatMap(({ blocks }) => blocks.map(({ key }) => key)))
      return backingStore.commit(backingId, files)
    },
  }
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

  /** What is read at the place, or why it is not the block, with the path where that says more. */
  async function readAt(
    cid: Cid,
    place: Place,
  ): Promise<ReadBlock | { readonly reason: string; readonly path: string }> {
    if (place.encoding === 'file') {
      const read = await backingReader.read(cid, place)
      return read instanceof Uint8Array ? { plain: read, stored: read } : read
    }
    const block = await reader.read(cid, place)
    return 'plain' in block ? block : { path: folder.pathOf(place.packId), ...block }
  }

  /** Back-pressure, and the bound on what a crash can cost: nobody gets far ahead of the disk. */
  async function holdBack(): Promise<void> {
    if (writer.pendingBytes >= 4 * autoFlushBytes) await commit()
  }

  /** What is pending already is left out. */
  async function append(blocks: readonly KeyedBytes[]): Promise<void> {
    const neededBytes = blocks.reduce((sum, { bytes }) => sum + bytes.length + ENTRY_HEADER_BYTES, 0)
    if (neededBytes === 0) return
    await freeSpace.take(neededBytes)
    writer.checkWritable()
    const added = new Map<string, KeyedBytes>()
    for (const block of blocks) {
      const name = Buffer.from(block.key).toString('latin1')
      if (!writer.pending.has(name)) added.set(name, block)
    }
    if (added.size === 0) return
    writer.append([...added.values()])
    for (const [name, { bytes, zstdOfBytes }] of added) {
      const lengthBytes = zstdOfBytes ?? bytes.length
      recent.add(name, { encoding: zstdOfBytes === undefined ? 'plain' : 'zstd', bytes, lengthBytes })
    }
    flushLater()
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

  async function read(cid: Cid, signal: AbortSignal | undefined): Promise<PlacedBlock | undefined> {
    let [place] = await find([cid])
    while (place !== undefined) {
      signal?.throwIfAborted()
      const block = await readAt(cid, place)
      if ('plain' in block) return { ...block, place }
      // A collection may have moved the block, or have taken it, since it was looked up.
      const [now] = await find([cid])
      if (now === undefined || !isSamePlace(now, place)) {
        place = now
        continue
      }
      onCorrupt({ cid, offset: place.offset, ...block })
      recent.delete(cidKey(cid))
      await index.forget(cidToKeyBytes(cid), place)
      ;[place] = await find([cid])
      if (place !== undefined && isSamePlace(place, now)) return undefined
    }
    return undefined
  }

  /** With one look-up, and few reads. What lies in a file, was moved meanwhile or is damaged is read by itself. */
  async function readMany(
    cids: readonly Cid[],
    signal: AbortSignal | undefined,
  ): Promise<(PlacedBlock | undefined)[]> {
    const places = await find(cids)
    signal?.throwIfAborted()
    const packed = cids.flatMap((cid, i) => {
      const place = places[i]
      return place === undefined || place.encoding === 'file' ? [] : [{ i, cid, place }]
    })
    const blocks = await reader.readMany(packed)
    const found: (PlacedBlock | undefined)[] = cids.map(() => undefined)
    for (const [n, { i, place }] of packed.entries()) {
      const block = blocks[n]!
      if ('plain' in block) found[i] = { ...block, place }
    }
    for (const [i, cid] of cids.entries())
      if (found[i] === undefined && places[i] !== undefined) found[i] = await read(cid, signal)
    return found
  }

  /** As the blocks shall rest. */
  async function encode(blocks: readonly PutBlock[], verified: boolean): Promise<KeyedBytes[]> {
    const all: KeyedBytes[] = []
    for (const { cid, bytes, zstd } of blocks) {
      const key = cidToKeyBytes(cid)
      const given = verified && compression !== 'none' ? zstd : undefined
      const frame = given ?? (compression === 'zstd' ? await tryZstdLater(bytes, REST_LEVEL) : undefined)
      all.push(frame === undefined ? { key, bytes } : { key, bytes: frame, zstdOfBytes: bytes.length })
    }
    return all
  }

  const backed = { backings: backingIndex, reader: backingReader, lose }
  const scrub = createScrub({ files, index, folder, reader, backed, clock, log, onCorrupt })
  const store: PackStore = {
    get: async (cid, signal) => (await read(cid, signal))?.plain,

    async getMany(cids, signal) {
      // One that shared memory would keep all that was read with it.
      const own = (bytes: Uint8Array): Uint8Array =>
        bytes.buffer.byteLength === bytes.length ? bytes : new Uint8Array(bytes)
      return (await readMany(cids, signal)).map((block) => block && own(block.plain))
    },

    async getEncoded(cids, signal) {
      const found = cids.map((cid) => recent.get(cidKey(cid)))
      const wanted = found.flatMap((block, i) => (block === undefined ? [i] : []))
      if (wanted.length === 0) return found
      const read = await readMany(
        wanted.map((i) => cids[i]!),
        signal,
      )
      for (const [n, i] of wanted.entries()) found[i] = read[n] && encodedOf(read[n])
      return found
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
      await holdBack()
      // The index is asked in a thread of the pool while this one hashes.
      const [places] = await Promise.all([
        find(blocks.map(({ cid }) => cid)),
        verified ? undefined : verifyAll(blocks),
      ])
      const missing = blocks.filter(
        (block, i) => places[i] === undefined && !writer.pending.has(cidKey(block.cid)),
      )
      await append(await encode(missing, verified))
    },

    flush: commit,

    async locate(cids) {
      const places = await find(cids)
      const inFiles = places.filter((place): place is FilePlace => place?.encoding === 'file')
      const backed = inFiles.length === 0 ? [] : await locateBacked(backingIndex, inFiles)
      let at = 0
      return places.map((place): BlockPlace | undefined => {
        if (place === undefined) return undefined
        if (place.encoding === 'file') return backed[at++]
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

    backings,
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
        recent.clear()
        writer.close()
        reader.close()
        backingReader.close()
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
        backings,
        commit,
        log,
        onCorrupt,
      },
      { maxPackBytes, maxGarbageShare },
    ),
  )
  return store
}

function encodedOf({ stored, place: { encoding, lengthBytes } }: PlacedBlock): EncodedBlock {
  return { encoding: encoding === 'file' ? 'plain' : encoding, bytes: stored, lengthBytes }
}

async function verifyAll(blocks: readonly PutBlock[]): Promise<void> {
  for (const { cid, bytes } of blocks) verifyBlock(cid, bytes)
}
