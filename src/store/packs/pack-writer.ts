/**
 * Writes blocks into packs. `append` writes into the active pack at once (a pwrite into the page cache) and remembers
 * the block as pending; `commit` syncs the packs that hold pending blocks, then publishes their places with a synced
 * batch, then forgets them as pending. So the index never names bytes that a power loss could take, and what a crash
 * leaves behind what the index covers is found again by a scan (recovery.ts).
 *
 * After a failed sync the kernel may drop the written pages and call the next sync a success. So a pack whose sync
 * failed is left for good: its pending blocks are read back, verified and written into another pack by the next
 * commit. Only when they cannot be read back does the writer refuse further writes until the store is opened again.
 */
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import { cidFromKeyBytes } from '../../block/cid.ts'
import type { FileOps } from '../files.ts'
import { withOwner } from '../owners.ts'
import type { PackAppender } from './pack-appender.ts'
import { createPackAppender } from './pack-appender.ts'
import type { PackFolder } from './pack-folder.ts'
import type { PackIndex, PlacedEntry } from './pack-index.ts'
import type { PackReader } from './pack-reader.ts'

export interface KeyedBytes {
  /** The 33 bytes of `cidToKeyBytes`. */
  readonly key: Uint8Array
  /** As `cidKey` gives it: made once, it is hashed once for all the maps that it goes through. */
  readonly name: string
  /** As the block shall rest. */
  readonly bytes: Uint8Array
  /** The length of the plain block, when `bytes` are a zstd frame. */
  readonly zstdOfBytes?: number
  /** The private tree that it came by; absent for everybody's. */
  readonly owner?: number | undefined
}

export interface PackWriter {
  /** What is written and not published yet, by `cidKey`. */
  readonly pending: ReadonlyMap<string, PlacedEntry>
  readonly pendingBytes: number
  readonly isWritable: boolean
  /** @throws MirrorError why nothing can be written any more */
  checkWritable(): void
  /** All of them or none. Without an await, so that what is pending always reaches to the end of its pack. */
  append(blocks: readonly KeyedBytes[]): void
  /** A pending block came through `owner` as well; absent: it is everybody's. Published by the next commit. */
  reown(key: string, owner: number | undefined): void
  /** Publishes what was pending when it was called. One call at a time. */
  commit(): Promise<void>
  /** It gets, or has, blocks that are not published. */
  isInUse(packId: number): boolean
  /** No block is added to this pack any more. False when some of its blocks are pending. */
  retire(packId: number): boolean
  /** What is pending is left to recovery. */
  close(): void
}

export function createPackWriter(
  {
    files,
    index,
    folder,
    reader,
  }: {
    readonly files: FileOps
    readonly index: PackIndex
    readonly folder: PackFolder
    readonly reader: PackReader
  },
  { maxPackBytes }: { readonly maxPackBytes: number },
): PackWriter {
  const pending = new Map<string, PlacedEntry>()
  const appenders = new Map<number, PackAppender>()
  const suspectPacks = new Set<number>()
  let activePackId = [...folder.sizes].findLast(([, sizeBytes]) => sizeBytes < maxPackBytes / 2)?.[0]
  let pendingBytes = 0
  let isFolderUnsynced = false
  let refusal: MirrorError | undefined

  function checkWritable(): void {
    if (refusal !== undefined) throw refusal
  }

  function activeAppender(): { packId: number; appender: PackAppender } {
    if (activePackId !== undefined) {
      const appender = appenders.get(activePackId)
      if (appender !== undefined && appender.sizeBytes < maxPackBytes)
        return { packId: activePackId, appender }
      if (appender === undefined && resume(activePackId)) return activeAppender()
    }
    activePackId = folder.create()
    isFolderUnsynced = true
    const appender = createPackAppender(folder.pathOf(activePackId), activePackId, { files })
    appenders.set(activePackId, appender)
    return { packId: activePackId, appender }
  }

  /** Goes on with a pack of an earlier run. One whose header is damaged serves reads, and gets no more blocks. */
  function resume(packId: number): boolean {
    try {
      appenders.set(packId, createPackAppender(folder.pathOf(packId), packId, { files }))
      return true
    } catch (error) {
      if (isMirrorError(error, 'corrupt')) return false
      throw error
    }
  }

  function append(blocks: readonly KeyedBytes[]): void {
    const { packId, appender } = activeAppender()
    const startBytes = appender.sizeBytes
    const entries: PlacedEntry[] = []
    try {
      for (const { key, bytes, zstdOfBytes, owner } of blocks) {
        entries.push({ ...appender.hold(key, bytes, zstdOfBytes, owner), packId })
      }
      appender.flush()
    } catch (error) {
      appender.cutTo(startBytes)
      throw error
    }
    folder.sizes.set(packId, appender.sizeBytes)
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!
      const { name } = blocks[i]!
      pendingBytes += entry.storedBytes - (pending.get(name)?.storedBytes ?? 0)
      pending.set(name, entry)
    }
  }

  /** Moves pending blocks out of packs whose sync failed. */
  async function leaveSuspectPacks(): Promise<void> {
    if (suspectPacks.size === 0) return
    for (const [name, entry] of [...pending]) {
      if (!suspectPacks.has(entry.packId)) continue
      const block = await reader.read(cidFromKeyBytes(entry.key), entry)
      if ('stored' in block) {
        const { key, encoding, lengthBytes, owner } = entry
        const zstd = encoding === 'zstd' ? { zstdOfBytes: lengthBytes } : {}
        if (pending.get(name) === entry) append([{ key, name, bytes: block.stored, ...zstd, owner }])
        continue
      }
      const path = folder.pathOf(entry.packId)
      refusal = new MirrorError('io', `a block written to ${path} is lost: ${block.reason}`, {
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

  async function syncPacks(packIds: Iterable<number>): Promise<void> {
    for (const packId of packIds) {
      try {
        await appenders.get(packId)?.syncLater()
      } catch (error) {
        suspectPacks.add(packId)
        if (activePackId === packId) activePackId = undefined
        throw error
      }
    }
    if (!isFolderUnsynced) return
    isFolderUnsynced = false
    try {
      await folder.sync()
    } catch (error) {
      isFolderUnsynced = true
      throw error
    }
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

  function hasPending(packId: number): boolean {
    for (const entry of pending.values()) if (entry.packId === packId) return true
    return false
  }

  return {
    isInUse: (packId) => activePackId === packId || suspectPacks.has(packId) || hasPending(packId),
    retire(packId) {
      if (suspectPacks.has(packId) || hasPending(packId)) return false
      if (activePackId === packId) activePackId = undefined
      appenders.get(packId)?.close()
      appenders.delete(packId)
      return true
    },
    pending,
    get pendingBytes() {
      return pendingBytes
    },
    get isWritable() {
      return refusal === undefined
    },
    checkWritable,
    append,
    reown(key, owner) {
      const entry = pending.get(key)
      // Another object: a commit that has begun leaves it pending.
      if (entry !== undefined) pending.set(key, { ...withOwner(entry, owner) })
    },
    async commit() {
      checkWritable()
      await leaveSuspectPacks()
      const batch = [...pending]
      if (batch.length === 0) return
      const covered = new Map<number, number>()
      for (const [, { packId, offset, storedBytes }] of batch) {
        covered.set(packId, Math.max(offset + storedBytes, covered.get(packId) ?? 0))
      }
      await syncPacks(covered.keys())
      const entries = batch.map(([, entry]) => entry)
      await index.publish(entries, covered, { sync: true })
      for (const [name, entry] of batch) {
        if (pending.get(name) !== entry) continue
        pending.delete(name)
        pendingBytes -= entry.storedBytes
      }
      closeIdleAppenders()
    },
    close() {
      refusal ??= new MirrorError('aborted', 'the store is closed')
      for (const appender of appenders.values()) appender.close()
      appenders.clear()
    },
  }
}
