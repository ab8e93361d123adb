/**
 * Packs that others fill, such as worker threads: handed out empty, published as far as their filler has synced them.
 * One that is never committed is settled by recovery.
 */
import { MirrorError } from '../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import { CID_KEY_BYTES, cidFromKeyBytes } from '../block/cid.ts'
import type { BlockStore, PackedEntry } from './block-store.ts'
import type { FileOps } from './files.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from './pack.ts'
import type { PackFolder } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'

export type ReservedPacks = Pick<BlockStore, 'reservePack' | 'commitPacked'>

export function createReservedPacks({
  files,
  index,
  folder,
}: {
  readonly files: FileOps
  readonly index: PackIndex
  readonly folder: PackFolder
}): ReservedPacks {
  const publishedBytes = new Map<number, number>()

  return {
    async reservePack() {
      const packId = folder.create()
      publishedBytes.set(packId, PACK_HEADER_BYTES)
      await folder.sync()
      return { packId, path: folder.pathOf(packId) }
    },

    async commitPacked(packId, entries) {
      const startBytes = publishedBytes.get(packId)
      if (startBytes === undefined) throw new MirrorError('invalid', `pack ${packId} was not reserved`)
      if (entries.length === 0) return
      const endBytes = endOf(packId, entries, startBytes)
      if (endBytes > sizeOf(files, folder.pathOf(packId))) {
        throw new MirrorError(
          'invalid',
          `entries of pack ${packId} reach beyond its end: flush and sync it first`,
        )
      }
      const placed = entries.map((entry) => ({ ...entry, packId }))
      await index.publish(placed, new Map([[packId, endBytes]]), { sync: true })
      publishedBytes.set(packId, Math.max(endBytes, publishedBytes.get(packId) ?? 0))
      folder.sizes.set(packId, endBytes)
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
