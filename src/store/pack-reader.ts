/** Reads blocks out of packs, and gives only what matches the CID. */
import { asMirrorError, isMirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { verifyBlock } from '../block/cid.ts'
import { decodeBlockLater } from '../block/encoding.ts'
import type { FileOps } from './files.ts'
import type { PackPlace } from './index.ts'
import { createPackFiles } from './pack-files.ts'
import type { PackFolder } from './pack-folder.ts'

export interface PackReader {
  /**
   * The block at `place`, or why those bytes are not it.
   * @throws MirrorError when the disk cannot be read: that says nothing about the block
   */
  read(cid: Cid, place: PackPlace): Promise<ReadBlock | { readonly reason: string }>
  /** The pack was removed. */
  drop(packId: number): void
  close(): void
}

export interface ReadBlock {
  readonly plain: Uint8Array
  /** As it rests; the same as `plain` for a plain block. */
  readonly stored: Uint8Array
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
    async read(cid, { packId, offset, storedBytes, lengthBytes, encoding }) {
      let bytes: Uint8Array
      try {
        bytes = await packFiles.read(packId, offset, storedBytes)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { reason: 'the pack is gone' }
        throw asMirrorError(error, `read ${folder.pathOf(packId)}`, { facts: { packId } })
      }
      if (bytes.length < storedBytes) return { reason: 'the pack was cut short' }
      try {
        const plain = await decodeBlockLater({ encoding, bytes, lengthBytes })
        verifyBlock(cid, plain)
        return { plain, stored: bytes }
      } catch (error) {
        if (isMirrorError(error, 'corrupt')) return { reason: 'the bytes do not match the CID' }
        throw error
      }
    },
    drop: packFiles.drop,
    close: () => packFiles.close(),
  }
}
