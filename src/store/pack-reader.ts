/** Reads blocks out of packs, and gives only what matches the CID. */
import { asMirrorError, isMirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { verifyBlock } from '../block/cid.ts'
import type { FileOps } from './files.ts'
import type { Place } from './index.ts'
import { createPackFiles } from './pack-files.ts'
import type { PackFolder } from './pack-folder.ts'

export interface PackReader {
  /**
   * The block at `place`, or why those bytes are not it.
   * @throws MirrorError when the disk cannot be read: that says nothing about the block
   */
  read(cid: Cid, place: Place): Promise<Uint8Array | { readonly reason: string }>
  /** The pack was removed. */
  drop(packId: number): void
  close(): void
}

export function createPackReader({
  files,
  folder,
}: {
  readonly files: FileOps
  readonly folder: PackFolder
}): PackReader {
  const packFiles = createPackFiles({ files }, { pathOf: folder.pathOf })

  return {
    async read(cid, { packId, offset, storedBytes }) {
      let bytes: Uint8Array
      try {
        bytes = await packFiles.read(packId, offset, storedBytes)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { reason: 'the pack is gone' }
        throw asMirrorError(error, `read ${folder.pathOf(packId)}`, { facts: { packId } })
      }
      if (bytes.length < storedBytes) return { reason: 'the pack was cut short' }
      try {
        verifyBlock(cid, bytes)
        return bytes
      } catch (error) {
        if (isMirrorError(error, 'corrupt')) return { reason: 'the bytes do not match the CID' }
        throw error
      }
    },
    drop: packFiles.drop,
    close: () => packFiles.close(),
  }
}
