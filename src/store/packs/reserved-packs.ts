/**
 * Packs that others fill, such as worker threads: handed out empty, published as far as their filler has synced them,
 * and cut to that when the filler has ended. One whose filler was killed with the process is settled by recovery.
 */
import { MirrorError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import { CID_KEY_BYTES, cidFromKeyBytes } from '../../block/cid.ts'
import type { BlockStore, PackedEntry } from '../block-store.ts'
import type { FileOps } from '../files.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from '../pack.ts'
import type { PackFolder } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'

export interface ReservedPacks extends Pick<BlockStore, 'reservePack' | 'commitPacked' | 'releasePack'> {
  /** Its filler has not ended. */
  isReserved(packId: number): boolean
}

interface ReservedPack {
  publishedBytes: number
  /** The last commit, while it runs and after. */
  committing: Promise<void>
  /** A commit failed: the index may name its entries or not, which the next opening of the store finds out. */
  isInDoubt: boolean
}

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

  async function publish(packId: number, pack: ReservedPack, entries: readonly PackedEntry[]): Promise<void> {
    const endBytes = endOf(packId, entries, pack.publishedBytes)
    if (endBytes > sizeOf(files, folder.pathOf(packId))) {
      throw new MirrorError(
        'invalid',
        `entries of pack ${packId} reach beyond its end: flush and sync it first`,
      )
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
      packs.delete(packId)
      if (pack.isInDoubt) {
        folder.inDoubt.add(packId)
        return
      }
      if (pack.publishedBytes === PACK_HEADER_BYTES) folder.remove(packId)
      else cutTo(files, folder.pathOf(packId), pack.publishedBytes)
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

function sizeOf(files: FileOps, path: string): number {
  const file = files.open(path, 'read')
  try {
    return file.sizeBytes()
  } finally {
    file.close()
  }
}

function cutTo(files: FileOps, path: string, sizeBytes: number): void {
  const file = files.open(path, 'write')
  try {
    if (file.sizeBytes() > sizeBytes) file.truncate(sizeBytes)
  } finally {
    file.close()
  }
}
