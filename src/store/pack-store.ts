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
import type { HeldBlock } from './backings/backing-index.ts'
import { createBackingIndex, loadBackings } from './backings/backing-index.ts'
import { createBackingReader } from './backings/backing-reader.ts'
import type { OwnedBackings } from './backings/backings.ts'
import { createBackings, locateBacked } from './backings/backings.ts'
import type {
  BlockPlace,
  BlockStore,
  CorruptBlock,
  PutBlock,
  PutOptions,
  StoreCompression,
} from './block-store.ts'
import type { Collect } from './collect/collection.ts'
import { createCollect } from './collect/collection.ts'
import { createPackCollection } from './collect/pack-collection.ts'
import type { Scrub } from './collect/scrub.ts'
import { createScrub } from './collect/scrub.ts'
import type { FileOps } from './files.ts'
import { createFreeSpace } from './free-space.ts'
import { groupCommit } from './group-commit.ts'
import type { FilePlace } from './index/index.ts'
import { createLeases } from './leases.ts'
import type { Owners } from './owners.ts'
import { mergeOwners, needsMark, withOwner } from './owners.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from './pack.ts'
import { encodeToRest } from './packs/encode-to-rest.ts'
import { createPackFolder } from './packs/pack-folder.ts'
import type { PackIndex } from './packs/pack-index.ts'
import { createPackReader } from './packs/pack-reader.ts'
import type { KeyedBytes } from './packs/pack-writer.ts'
import { createPackWriter } from './packs/pack-writer.ts'
import { createRecentBlocks } from './packs/recent-blocks.ts'
import { recoverPacks } from './packs/recovery.ts'
import { createReservedPacks } from './packs/reserved-packs.ts'
import type { PlacedBlock } from './place-reader.ts'
import { createPlaceReader } from './place-reader.ts'
import type { OwnedBlocks } from './tree-blocks.ts'
import { createTreeBlocks } from './tree-blocks.ts'

export interface PackStoreCollaborators {
  readonly files: FileOps
  readonly index: PackIndex
  readonly owners: Owners
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

export interface PackStore extends BlockStore {
  readonly collect: Collect
  readonly scrub: Scrub
  stats(): { readonly blocks: number; readonly packs: number; readonly packBytes: number }
  /** Flushes; gives everything back even when that fails. */
  close(): Promise<void>
}

export async function openPackStore(
  { files, index, owners, clock, log, onCorrupt }: PackStoreCollaborators,
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
  const backingIndex = createBackingIndex(index, await loadBackings(index), owners.find)
  const backingReader = createBackingReader({ files, index: backingIndex })
  const placeReader = createPlaceReader({
    ...{ index, pending: writer.pending, folder, reader, backingReader, leases, recent, onCorrupt },
  })
  const backingStore = createBackings({
    files,
    index: backingIndex,
    reader: backingReader,
    nowMs: () => clock.nowMs(),
    find: placeReader.find,
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

  const { findKeyed, findFor, read, readMany } = placeReader

  const backings: OwnedBackings = {
    ...backingStore,
    async commit(backingId, files, options, owner) {
      // As for blocks that are put: a collection that runs must know that they are wanted again.
      leases.touch(files.flatMap(({ blocks }) => blocks.map(({ key }) => key)))
      const size = await backingStore.commit(backingId, files, options, owner)
      // What we wrote out ourselves came through nothing.
      if (backingIndex.backings.get(backingId)?.purpose !== 'check-out') {
        await admitPending(
          files.flatMap(({ blocks }) => blocks.map(({ key }) => key)),
          owner,
        )
      }
      return size
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

  /** Back-pressure, and the bound on what a crash can cost: nobody gets far ahead of the disk. */
  async function holdBack(): Promise<void> {
    if (writer.pendingBytes >= 4 * autoFlushBytes) await commit()
  }

  /** What is pending already is left out. */
  async function append(blocks: readonly KeyedBytes[]): Promise<void> {
    let neededBytes = 0
    for (let i = 0; i < blocks.length; i++) neededBytes += blocks[i]!.bytes.length + ENTRY_HEADER_BYTES
    if (neededBytes === 0) return
    await freeSpace.take(neededBytes)
    writer.checkWritable()
    const names = new Set<string>()
    const added: KeyedBytes[] = []
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i]!
      if (writer.pending.has(block.name) || names.has(block.name)) continue
      names.add(block.name)
      added.push(block)
    }
    if (added.length === 0) return
    writer.append(added)
    for (let i = 0; i < added.length; i++) {
      const { name, bytes, zstdOfBytes, owner } = added[i]!
      const lengthBytes = zstdOfBytes ?? bytes.length
      recent.add(name, { encoding: zstdOfBytes === undefined ? 'plain' : 'zstd', bytes, lengthBytes }, owner)
    }
    flushLater()
  }

  /** Of blocks that were published: those that are pending as well, and said to be somebody else's. */
  async function admitPending(keys: readonly Uint8Array[], owner: number | undefined): Promise<void> {
    if (writer.pending.size === 0) return
    const cids = keys.map((key) => cidFromKeyBytes(key))
    const others = cids.filter((cid) => {
      const place = writer.pending.get(cidKey(cid))
      return place?.owner !== undefined && place.owner !== owner
    })
    if (others.length > 0) await admit(others, owner)
  }

  /** Blocks that were stored before came through `owner` as well. */
  async function admit(cids: readonly Cid[], owner: number | undefined): Promise<void> {
    const marks: Uint8Array[] = []
    for (const cid of cids) {
      const known = writer.pending.get(cidKey(cid))
      if (known?.owner === undefined) continue
      if (needsMark(known.owner, owner)) marks.push(cidToKeyBytes(cid))
      const merged = mergeOwners(known.owner, owner)
      if (merged !== known.owner) writer.reown(cidKey(cid), merged)
    }
    await index.admit(cids.map(cidToKeyBytes), owner, marks)
  }

  const backed = { backings: backingIndex, reader: backingReader, lose }
  const scrub = createScrub({ files, index, folder, reader, backed, clock, log, onCorrupt })
  const parts: OwnedBlocks = {
    get: async (cid, signal, asker) => (await read(cid, signal, asker, true))?.plain,

    async getMany(cids, signal, asker) {
      // One that shared memory would keep all that was read with it.
      const own = (bytes: Uint8Array): Uint8Array =>
        bytes.buffer.byteLength === bytes.length ? bytes : new Uint8Array(bytes)
      return (await readMany(cids, signal, asker, true)).map((block) => block && own(block.plain))
    },

    async getEncoded(cids, signal, asker) {
      const number = asker?.number()
      const found = recent.getMany(
        cids.map((cid) => {
          const key = cidKey(cid)
          const owner = asker === undefined ? undefined : recent.ownerOf(key)
          // Of another tree's it is looked up whether it is this one's too by now.
          return owner === undefined || owner === number ? key : undefined
        }),
      )
      const wanted = found.flatMap((block, i) => (block === undefined ? [i] : []))
      if (wanted.length === 0) return found
      const read = await readMany(
        wanted.map((i) => cids[i]!),
        signal,
        asker,
        false,
      )
      for (const [n, i] of wanted.entries()) found[i] = read[n] && encodedOf(read[n])
      return found
    },

    async has(cids, asker) {
      return (await findFor(cids, asker, true)).map((place) => place !== undefined)
    },

    async put(blocks: readonly PutBlock[], { verified = false }: PutOptions = {}, owner) {
      writer.checkWritable()
      for (const { bytes } of blocks) {
        if (bytes.length > MAX_BLOCK_BYTES) {
          throw new MirrorError('limit', `a block of ${bytes.length} bytes: the limit is ${MAX_BLOCK_BYTES}`)
        }
      }
      await holdBack()
      // The index is asked in a thread of the pool while this one hashes.
      const keyed = blocks.map((block) => ({
        key: cidToKeyBytes(block.cid),
        name: cidKey(block.cid),
        block,
      }))
      const [places] = await Promise.all([findKeyed(keyed), verified ? undefined : verifyAll(blocks)])
      const missing = keyed.filter(({ name }, i) => places[i] === undefined && !writer.pending.has(name))
      const encoded = await encodeToRest(missing, { verified, compression })
      await append(owner === undefined ? encoded : encoded.map((block) => ({ ...block, owner })))
      // Of what was stored before, or at the same time by others: the same bytes came once more.
      const others: Cid[] = []
      for (let i = 0; i < keyed.length; i++) {
        const { block, name } = keyed[i]!
        const place = writer.pending.get(name) ?? places[i]
        if (place?.owner !== undefined && place.owner !== owner) others.push(block.cid)
      }
      if (others.length > 0) await admit(others, owner)
    },

    async locate(cids, asker) {
      const places = await findFor(cids, asker, false)
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

    async commitPacked(packId, entries, owner) {
      writer.checkWritable()
      leases.touch(entries.map(({ key }) => key))
      await reservedPacks.commitPacked(
        packId,
        entries.map((entry) => withOwner(entry, owner)),
      )
      await admitPending(
        entries.map(({ key }) => key),
        owner,
      )
    },

    backings,
    admit,
  }

  const rest = {
    flush: commit,
    async reservePack() {
      writer.checkWritable()
      await freeSpace.take(PACK_HEADER_BYTES)
      return reservedPacks.reservePack()
    },
    releasePack: reservedPacks.releasePack,
    claimSpace: freeSpace.take,
    lease: leases.lease,
    leases: leases.list,
  }

  const store: PackStore = {
    ...createTreeBlocks(parts, rest, owners),

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
        reservedPacks.close()
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
