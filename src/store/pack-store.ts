/**
 * The block store over packs and an index.
 *
 * `put` writes into the active pack at once (a pwrite into the page cache) and remembers the block as pending;
 * `flush` syncs the packs that hold pending blocks, then publishes their places with a synced batch, then forgets
 * them as pending. So the index never names bytes that a power loss could take, and what a crash leaves behind what
 * the index covers is found again by a scan (recovery.ts).
 *
 * After a failed sync the kernel may drop the written pages and call the next sync a success. So a pack whose sync
 * failed is left for good: its pending blocks are read back, verified and written into another pack by the next
 * flush. Only when they cannot be read back does the store refuse further writes until it is opened again.
 */
import type { Clock } from '../base/clock.ts'
import type { ErrorFacts } from '../base/errors.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { CID_KEY_BYTES, cidFromKeyBytes, cidKey, cidToKeyBytes, verifyBlock } from '../block/cid.ts'
import type {
  BlockPlace,
  BlockStore,
  CorruptBlock,
  PackedEntry,
  PutOptions,
  ReservedPack,
} from './block-store.ts'
import type { FileOps } from './files.ts'
import { createFreeSpace } from './free-space.ts'
import { groupCommit } from './group-commit.ts'
import type { Place } from './index.ts'
import { ENTRY_HEADER_BYTES, MAX_PACK_ID, PACK_HEADER_BYTES, packFileName } from './pack.ts'
import type { PackAppender } from './pack-appender.ts'
import { createPack, createPackAppender } from './pack-appender.ts'
import { createPackFiles } from './pack-files.ts'
import type { PackIndex, PlacedEntry } from './pack-index.ts'
import { recoverPacks } from './recovery.ts'

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
  }: PackStoreOptions,
): Promise<PackStore> {
  const pathOf = (packId: number): string => `${dir}/${packFileName(packId)}`
  const packSizes = await recoverPacks({ files, index }, { dir, log, onCorrupt })
  const packFiles = createPackFiles({ files }, { pathOf })
  const freeSpace = createFreeSpace({ files }, { dir, reserveBytes })

  const pending = new Map<string, PlacedEntry>()
  const appenders = new Map<number, PackAppender>()
  const reserved = new Map<number, number>()
  const suspectPacks = new Set<number>()
  let activePackId = [...packSizes].findLast(([, sizeBytes]) => sizeBytes < maxPackBytes / 2)?.[0]
  let nextPackId = 1 + Math.max(0, ...packSizes.keys(), ...(await index.coveredBytes()).keys())
  let pendingBytes = 0
  let isDirUnsynced = false
  let cancelAutoFlush: (() => void) | undefined
  let refusal: MirrorError | undefined

  function checkWritable(): void {
    if (refusal !== undefined) throw refusal
  }

  function newPack(): number {
    const packId = nextPackId
    if (packId > MAX_PACK_ID) throw new MirrorError('limit', 'the store has used up its pack numbers')
    // Taken even when creating fails: a file of that name may be left.
    nextPackId += 1
    createPack(pathOf(packId), packId, files)
    packSizes.set(packId, PACK_HEADER_BYTES)
    return packId
  }

  function activeAppender(): { packId: number; appender: PackAppender } {
    if (activePackId !== undefined) {
      const appender = appenders.get(activePackId)
      if (appender !== undefined && appender.sizeBytes < maxPackBytes)
        return { packId: activePackId, appender }
      if (appender === undefined && resume(activePackId)) return activeAppender()
    }
    activePackId = newPack()
    isDirUnsynced = true
    const appender = createPackAppender(pathOf(activePackId), activePackId, { files })
    appenders.set(activePackId, appender)
    return { packId: activePackId, appender }
  }

  /** Goes on with a pack of an earlier run. One whose header is damaged serves reads, and gets no more blocks. */
  function resume(packId: number): boolean {
    try {
      appenders.set(packId, createPackAppender(pathOf(packId), packId, { files }))
      return true
    } catch (error) {
      if (isMirrorError(error, 'corrupt')) return false
      throw error
    }
  }

  /** All of them or none. Without an await, so that what is pending always reaches to the end of the pack. */
  function appendPending(blocks: readonly { readonly key: Uint8Array; readonly bytes: Uint8Array }[]): void {
    const { packId, appender } = activeAppender()
    const startBytes = appender.sizeBytes
    const entries: PlacedEntry[] = []
    try {
      for (const { key, bytes } of blocks) entries.push({ ...appender.append(key, bytes), packId })
      appender.flush()
    } catch (error) {
      appender.cutTo(startBytes)
      throw error
    }
    packSizes.set(packId, appender.sizeBytes)
    for (const entry of entries) {
      const name = keyName(entry.key)
      pendingBytes += entry.storedBytes - (pending.get(name)?.storedBytes ?? 0)
      pending.set(name, entry)
    }
  }

  /** Moves pending blocks out of packs whose sync failed. */
  async function leaveSuspectPacks(): Promise<void> {
    if (suspectPacks.size === 0) return
    for (const [name, entry] of [...pending]) {
      if (!suspectPacks.has(entry.packId)) continue
      const bytes = await readSound(cidFromKeyBytes(entry.key), entry)
      if (bytes instanceof Uint8Array) {
        if (pending.get(name) === entry) appendPending([{ key: entry.key, bytes }])
        continue
      }
      refusal = new MirrorError('io', `a block written to ${pathOf(entry.packId)} is lost: ${bytes.reason}`, {
        facts: { packId: entry.packId },
        hint: 'The disk failed. Check it, then start the daemon again: lost blocks are fetched anew.',
      })
      throw refusal
    }
    for (const packId of suspectPacks) {
      appenders.get(packId)?.close()
      appenders.delete(packId)
    }
    suspectPacks.clear()
  }

  async function commitPending(): Promise<void> {
    checkWritable()
    await leaveSuspectPacks()
    const batch = [...pending]
    if (batch.length === 0) return
    const covered = new Map<number, number>()
    for (const [, { packId, offset, storedBytes }] of batch) {
      covered.set(packId, Math.max(offset + storedBytes, covered.get(packId) ?? 0))
    }
    for (const packId of covered.keys()) {
      try {
        await appenders.get(packId)?.syncLater()
      } catch (error) {
        suspectPacks.add(packId)
        if (activePackId === packId) activePackId = undefined
        throw error
      }
    }
    if (isDirUnsynced) {
      isDirUnsynced = false
      await files.syncDir(dir).catch((error: unknown) => {
        isDirUnsynced = true
        throw asMirrorError(error, `sync ${dir}`)
      })
    }
    const entries = batch.map(([, entry]) => entry)
    await index.publish(entries, covered, { sync: true })
    for (const [name, entry] of batch) {
      if (pending.get(name) !== entry) continue
      pending.delete(name)
      pendingBytes -= entry.storedBytes
    }
    closeIdleAppenders()
  }

  function closeIdleAppenders(): void {
    const inUse = new Set([
      activePackId,
      ...suspectPacks,
      ...[...pending.values()].map(({ packId }) => packId),
    ])
    for (const [packId, appender] of appenders) {
      if (inUse.has(packId)) continue
      appenders.delete(packId)
      appender.close()
    }
  }

  const commit = groupCommit(commitPending)

  function flushLater(): void {
    const run = (): void => {
      cancelAutoFlush?.()
      cancelAutoFlush = undefined
      // What failed stays pending, and whoever flushes learns of it.
      commit().catch((error: unknown) => log('store.flush.failed', { reason: String(error) }))
    }
    if (pendingBytes >= autoFlushBytes) run()
    else cancelAutoFlush ??= clock.after(autoFlushMs, run)
  }

  async function find(cids: readonly Cid[]): Promise<(Place | undefined)[]> {
    const places: (Place | undefined)[] = cids.map((cid) => pending.get(cidKey(cid)))
    const asked = places.flatMap((place, i) => (place === undefined ? [i] : []))
    if (asked.length === 0) return places
    const found = await index.find(asked.map((i) => cidToKeyBytes(cids[i]!)))
    for (const [n, i] of asked.entries()) places[i] = found[n]
    return places
  }

  /** The block at `place`, or why those bytes are not it. */
  async function readSound(cid: Cid, place: Place): Promise<Uint8Array | { readonly reason: string }> {
    let bytes: Uint8Array
    try {
      bytes = await packFiles.read(place.packId, place.offset, place.storedBytes)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { reason: 'the pack is gone' }
      throw asMirrorError(error, `read ${pathOf(place.packId)}`, { facts: { packId: place.packId } })
    }
    if (bytes.length < place.storedBytes) return { reason: 'the pack was cut short' }
    try {
      verifyBlock(cid, bytes)
      return bytes
    } catch (error) {
      if (isMirrorError(error, 'corrupt')) return { reason: 'the bytes do not match the CID' }
      throw error
    }
  }

  return {
    async get(cid, signal) {
      let seen: Place | undefined
      for (;;) {
        signal?.throwIfAborted()
        const [place] = await find([cid])
        if (place === undefined || (seen?.packId === place.packId && seen.offset === place.offset))
          return undefined
        const bytes = await readSound(cid, place)
        if (bytes instanceof Uint8Array) return bytes
        onCorrupt({ cid, path: pathOf(place.packId), offset: place.offset, reason: bytes.reason })
        await index.forget(cidToKeyBytes(cid), place)
        seen = place
      }
    },

    async has(cids) {
      return (await find(cids)).map((place) => place !== undefined)
    },

    async put(blocks: readonly Block[], { verified = false }: PutOptions = {}) {
      checkWritable()
      for (const { cid, bytes } of blocks) {
        if (bytes.length > MAX_BLOCK_BYTES) {
          throw new MirrorError('limit', `a block of ${bytes.length} bytes: the limit is ${MAX_BLOCK_BYTES}`)
        }
        if (!verified) verifyBlock(cid, bytes)
      }
      // Back-pressure, and the bound on what a crash can cost: nobody gets far ahead of the disk.
      if (pendingBytes >= 4 * autoFlushBytes) await commit()
      const places = await find(blocks.map(({ cid }) => cid))
      let neededBytes = 0
      for (const [i, { bytes }] of blocks.entries()) {
        if (places[i] === undefined) neededBytes += bytes.length + ENTRY_HEADER_BYTES
      }
      if (neededBytes === 0) return
      await freeSpace.take(neededBytes)
      checkWritable()
      const added = new Map<string, { key: Uint8Array; bytes: Uint8Array }>()
      for (const [i, { cid, bytes }] of blocks.entries()) {
        const name = cidKey(cid)
        if (places[i] === undefined && !pending.has(name)) added.set(name, { key: cidToKeyBytes(cid), bytes })
      }
      if (added.size === 0) return
      appendPending([...added.values()])
      flushLater()
    },

    flush: commit,

    async locate(cids) {
      return (await find(cids)).map((place): BlockPlace | undefined => {
        if (place === undefined) return undefined
        const { packId, offset, storedBytes, lengthBytes, encoding } = place
        return { path: pathOf(packId), offset, storedBytes, lengthBytes, encoding }
      })
    },

    async reservePack(): Promise<ReservedPack> {
      checkWritable()
      await freeSpace.take(PACK_HEADER_BYTES)
      const packId = newPack()
      reserved.set(packId, PACK_HEADER_BYTES)
      try {
        await files.syncDir(dir)
      } catch (error) {
        throw asMirrorError(error, `sync ${dir}`)
      }
      return { packId, path: pathOf(packId) }
    },

    async commitPacked(packId, entries: readonly PackedEntry[]) {
      checkWritable()
      const startBytes = reserved.get(packId)
      if (startBytes === undefined) throw new MirrorError('invalid', `pack ${packId} was not reserved`)
      if (entries.length === 0) return
      let endBytes = startBytes
      for (const { key, offset, storedBytes } of entries) {
        cidFromKeyBytes(key)
        if (
          key.length !== CID_KEY_BYTES ||
          offset < endBytes + ENTRY_HEADER_BYTES ||
          storedBytes > MAX_BLOCK_BYTES
        ) {
          throw new MirrorError(
            'invalid',
            `entries of pack ${packId} are not in the order they were appended`,
          )
        }
        endBytes = offset + storedBytes
      }
      if (endBytes > sizeOf(pathOf(packId))) {
        throw new MirrorError(
          'invalid',
          `entries of pack ${packId} reach beyond its end: flush and sync it first`,
        )
      }
      const placed = entries.map((entry) => ({ ...entry, packId }))
      await index.publish(placed, new Map([[packId, endBytes]]), { sync: true })
      reserved.set(packId, Math.max(endBytes, reserved.get(packId) ?? 0))
      packSizes.set(packId, endBytes)
    },

    stats() {
      let packBytes = 0
      for (const sizeBytes of packSizes.values()) packBytes += sizeBytes
      return { blocks: index.blocks + pending.size, packs: packSizes.size, packBytes }
    },

    async close() {
      cancelAutoFlush?.()
      cancelAutoFlush = undefined
      try {
        if (refusal === undefined) await commit()
      } finally {
        refusal ??= new MirrorError('aborted', 'the store is closed')
        for (const appender of appenders.values()) appender.close()
        appenders.clear()
        packFiles.close()
      }
    },
  }

  function sizeOf(path: string): number {
    const file = files.open(path, 'read')
    try {
      return file.sizeBytes()
    } finally {
      file.close()
    }
  }
}

/** The same name that `cidKey` gives. */
function keyName(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
}
