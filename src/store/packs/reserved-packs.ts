/**
 * Packs that others fill, such as worker threads: handed out empty, synced and published as far as their filler has
 * written them, and cut to that when the filler has ended. One whose filler was killed with the process is settled by
 * recovery.
 *
 * The file stays open from the first to the last: only a descriptor that was there before a write is sure to be told
 * that the write failed.
 */
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { Semaphore } from '../../base/semaphore.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import { CID_KEY_BYTES, cidFromKeyBytes } from '../../block/cid.ts'
import type { BlockStore, PackedEntry } from '../block-store.ts'
import type { FileOps, StoreFile } from '../files.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from '../pack.ts'
import type { PackFolder } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'

export interface ReservedPacks extends Pick<BlockStore, 'reservePack' | 'commitPacked' | 'releasePack'> {
  /** Its filler has not ended. */
  isReserved(packId: number): boolean
  /** What was not published is left to recovery. */
  close(): void
}

interface ReservedPack {
  readonly file: StoreFile
  publishedBytes: number
  /** The last commit, while it runs and after. */
  committing: Promise<void>
  /** A commit failed: the index may name its entries or not, which the next opening of the store finds out. */
  isInDoubt: boolean
}

/** Each holds one of the four threads that the index and all other files have to share, for as long as a disk takes. */
const MAX_SYNCS = 2

export function createReservedPacks({
  files,
  index,
  folder,
}: {
  readonly files: FileOps
  readonly index: PackIndex
  readonly folder: PackFolder
}): ReservedPacks {
  const packs = new Map<number, ReservedPack>()
  const syncing = new Semaphore(MAX_SYNCS)

  async function publish(packId: number, pack: ReservedPack, entries: readonly PackedEntry[]): Promise<void> {
    const endBytes = endOf(packId, entries, pack.publishedBytes)
    if (endBytes > pack.file.sizeBytes())
      throw new MirrorError('invalid', `entries of pack ${packId} reach beyond its end: flush it first`)
    try {
      await syncing.run(() => pack.file.sync())
    } catch (error) {
      throw asMirrorError(error, `sync pack ${packId}`, { facts: { path: folder.pathOf(packId), packId } })
    }
    const placed = entries.map((entry) => ({ ...entry, packId }))
    pack.isInDoubt = true
    await index.publish(placed, new Map([[packId, endBytes]]), { sync: true })
    pack.isInDoubt = false
    pack.publishedBytes = endBytes
    folder.sizes.set(packId, endBytes)
  }

  return {
    isReserved: (packId) => packs.has(packId),
    async reservePack() {
      const packId = folder.create()
      packs.set(packId, {
        file: files.open(folder.pathOf(packId), 'write'),
        publishedBytes: PACK_HEADER_BYTES,
        committing: Promise.resolve(),
        isInDoubt: false,
      })
      await folder.sync()
      return { packId, path: folder.pathOf(packId) }
    },

    async commitPacked(packId, entries) {
      const pack = packs.get(packId)
      if (pack === undefined) throw new MirrorError('invalid', `pack ${packId} was not reserved`)
      if (entries.length === 0) return
      const committing = publish(packId, pack, entries)
      pack.committing = committing.catch(() => undefined)
      await committing
    },

    async releasePack(packId) {
      const pack = packs.get(packId)
      if (pack === undefined) return
      await pack.committing
      // Released before, while this call waited.
      if (!packs.delete(packId)) return
      try {
        if (pack.isInDoubt) folder.inDoubt.add(packId)
        else if (pack.publishedBytes === PACK_HEADER_BYTES) folder.remove(packId)
        // Of a size that is right already too: there may be space reserved behind it.
        else pack.file.truncate(pack.publishedBytes)
      } finally {
        pack.file.close()
      }
    },

    close() {
      for (const { file } of packs.values()) file.close()
      packs.clear()
    },
  }
}

/** @throws MirrorError `invalid` unless the entries follow each other from `startBytes` on */
function endOf(packId: number, entries: readonly PackedEntry[], startBytes: number): number {
  let endBytes = startBytes
  for (const { key, offset, storedBytes } of entries) {
    cidFromKeyBytes(key)
    if (
      key.length !== CID_KEY_BYTES ||
      offset < endBytes + ENTRY_HEADER_BYTES ||
      storedBytes > MAX_BLOCK_BYTES
    ) {
      throw new MirrorError('invalid', `entries of pack ${packId} are not in the order they were appended`)
    }
    endBytes = offset + storedBytes
  }
  return endBytes
}
