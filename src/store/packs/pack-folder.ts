/** The folder of packs: their names, numbers and sizes. A number is given once; the folder is synced when asked. */
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { FileOps } from '../files.ts'
import { MAX_PACK_ID, PACK_HEADER_BYTES, packFileName } from '../pack.ts'
import { createPack } from './pack-appender.ts'

export interface PackFolder {
  /** Of every pack, as far as its blocks reach. Whoever appends to a pack keeps its size here. */
  readonly sizes: Map<number, number>
  pathOf(packId: number): string
  /** Makes an empty pack. Its name survives a power loss after the next `sync`. */
  create(): number
  /** Packs of which the index may come to say more than it says now: a write of it failed. Left to the next opening. */
  readonly inDoubt: Set<number>
  /** Of a pack that the index does not name. */
  remove(packId: number): void
  sync(): Promise<void>
}

export function createPackFolder(
  { files }: { readonly files: FileOps },
  {
    dir,
    sizes,
    firstFreeId,
  }: { readonly dir: string; readonly sizes: Map<number, number>; readonly firstFreeId: number },
): PackFolder {
  const pathOf = (packId: number): string => `${dir}/${packFileName(packId)}`
  let nextPackId = firstFreeId

  return {
    sizes,
    inDoubt: new Set(),
    pathOf,
    create() {
      const packId = nextPackId
      if (packId > MAX_PACK_ID) throw new MirrorError('limit', 'the store has used up its pack numbers')
      // Taken even when creating fails: a file of that name may be left.
      nextPackId += 1
      createPack(pathOf(packId), packId, files)
      sizes.set(packId, PACK_HEADER_BYTES)
      return packId
    },
    remove(packId) {
      sizes.delete(packId)
      files.remove(pathOf(packId))
    },
    async sync() {
      try {
        await files.syncDir(dir)
      } catch (error) {
        throw asMirrorError(error, `sync ${dir}`)
      }
    },
  }
}
