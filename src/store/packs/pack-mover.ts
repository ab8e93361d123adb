/**
 * Copies blocks into packs of its own and has the index follow: bytes synced, the folder synced, then one batch that
 * moves every block that still lies where it was. What was not committed is an unnamed copy.
 */
import { cidFromKeyBytes } from '../../block/cid.ts'
import type { FileOps } from '../files.ts'
import type { FreeSpace } from '../free-space.ts'
import { ENTRY_HEADER_BYTES } from '../pack.ts'
import type { PackAppender } from './pack-appender.ts'
import { createPackAppender } from './pack-appender.ts'
import type { PackFolder } from './pack-folder.ts'
import type { BlockMove, PackedBlock, PackIndex } from './pack-index.ts'
import type { PackReader } from './pack-reader.ts'

export interface PackMover {
  /** One whose bytes are not what they should be is passed over: it stays where it is. */
  move(blocks: readonly PackedBlock[]): Promise<void>
  commit(): Promise<void>
  writtenBytes(): number
  /** What was not committed stays where it was. After a failure nothing else may be called: a failed sync has lost bytes. */
  close(): void
}

const COMMIT_BYTES = 16 * 1024 * 1024
const COMMIT_BLOCKS = 4096

export function createPackMover(
  {
    files,
    index,
    folder,
    reader,
    freeSpace,
  }: {
    readonly files: FileOps
    readonly index: PackIndex
    readonly folder: PackFolder
    readonly reader: PackReader
    readonly freeSpace: FreeSpace
  },
  { maxPackBytes }: { readonly maxPackBytes: number },
): PackMover {
  let target: { readonly packId: number; readonly appender: PackAppender } | undefined
  let moves: BlockMove[] = []
  let movedBytes = 0
  let writtenBytes = 0

  async function openTarget(): Promise<NonNullable<typeof target>> {
    if (target !== undefined) return target
    const packId = folder.create()
    await folder.sync()
    target = { packId, appender: createPackAppender(folder.pathOf(packId), packId, { files }) }
    return target
  }

  async function commit(): Promise<void> {
    if (target === undefined || moves.length === 0) return
    const { packId, appender } = target
    appender.flush()
    await appender.syncLater()
    // A batch that fails may take effect later: then the index would name a pack that seemed to hold nothing.
    folder.inDoubt.add(packId)
    await index.move(moves, new Map([[packId, appender.sizeBytes]]))
    folder.inDoubt.delete(packId)
    folder.sizes.set(packId, appender.sizeBytes)
    moves = []
    movedBytes = 0
    if (appender.sizeBytes >= maxPackBytes) closeTarget()
  }

  function closeTarget(): void {
    target?.appender.close()
    target = undefined
  }

  return {
    async move(blocks) {
      for (const { key, place } of blocks) {
        const read = await reader.read(cidFromKeyBytes(key), place)
        if (!('plain' in read)) continue
        // As it rests: what was decoded only proves that it is sound.
        const bytes = read.stored
        await freeSpace.take(bytes.length + ENTRY_HEADER_BYTES)
        const { packId, appender } = await openTarget()
        moves.push({
          key,
          from: place,
          to: {
            ...appender.append(
              key,
              bytes,
              place.encoding === 'zstd' ? place.lengthBytes : undefined,
              place.owner,
            ),
            packId,
          },
        })
        movedBytes += bytes.length
        writtenBytes += bytes.length + ENTRY_HEADER_BYTES
        if (movedBytes >= COMMIT_BYTES || moves.length >= COMMIT_BLOCKS) await commit()
      }
    },
    commit,
    writtenBytes: () => writtenBytes,
    close: closeTarget,
  }
}
