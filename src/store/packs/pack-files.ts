/**
 * Open packs for reading: at most `maxOpen` files, the least recently used closed first, none while a read is in it.
 */
import type { FileOps, StoreFile } from '../files.ts'

export interface PackFiles {
  pathOf(packId: number): string
  /** Bytes [offset, offset + length) of a pack: fewer where the file ends. Throws as the operating system does. */
  read(packId: number, offset: number, length: number): Promise<Uint8Array>
  /** The pack was removed: an open file would keep its space from the disk. */
  drop(packId: number): void
  close(): void
}

interface OpenPack {
  readonly file: StoreFile
  readers: number
  isDropped: boolean
}

export function createPackFiles(
  { files }: { readonly files: FileOps },
  { pathOf, maxOpen = 128 }: { readonly pathOf: (packId: number) => string; readonly maxOpen?: number },
): PackFiles {
  // A Map keeps the order of insertion, and a use inserts anew: the first is the least recently used.
  const open = new Map<number, OpenPack>()

  function use(packId: number): OpenPack {
    const pack = open.get(packId) ?? {
      file: files.open(pathOf(packId), 'read'),
      readers: 0,
      isDropped: false,
    }
    open.delete(packId)
    open.set(packId, pack)
    if (open.size > maxOpen) {
      for (const [id, candidate] of open) {
        if (candidate.readers > 0 || candidate === pack) continue
        open.delete(id)
        candidate.file.close()
        break
      }
    }
    return pack
  }

  return {
    pathOf,
    async read(packId, offset, length) {
      const pack = use(packId)
      pack.readers += 1
      try {
        // Not zero-filled, and not from the shared pool: the block keeps no more memory than its own.
        const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
        const count = await pack.file.read(bytes, offset)
        return count === length ? bytes : bytes.slice(0, count)
      } finally {
        pack.readers -= 1
        if (pack.isDropped && pack.readers === 0) pack.file.close()
      }
    },
    drop(packId) {
      const pack = open.get(packId)
      if (pack === undefined) return
      open.delete(packId)
      pack.isDropped = true
      if (pack.readers === 0) pack.file.close()
    },
    close() {
      for (const { file } of open.values()) file.close()
      open.clear()
    },
  }
}
