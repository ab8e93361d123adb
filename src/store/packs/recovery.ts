/**
 * Brings packs and index together when a store is opened, whatever killed the last run:
 * - behind what the index covers of a pack, sound entries are published and the torn tail is cut off;
 * - a pack that a collection was about to remove is removed, and its blocks do not come back;
 * - a pack that was reserved and never committed is such a pack from its start; one without a block is removed;
 * - what the index says of a pack that is gone, or shorter than it should be, is dropped: missing, never wrong.
 * An empty index makes this a rebuild.
 *
 * What is published here is on disk for certain: bytes in doubt are written once more and synced before (rewrite.ts).
 */
import type { ErrorFacts } from '../../base/errors.ts'
import { asMirrorError, isMirrorError } from '../../base/errors.ts'
import type { CorruptBlock } from '../block-store.ts'
import type { FileOps } from '../files.ts'
import { decodePackHeader, PACK_HEADER_BYTES, packFileName, packIdOf } from '../pack.ts'
import type { PackIndex, PlacedEntry } from './pack-index.ts'
import { scanPack } from './pack-scan.ts'
import { rewriteInPlace } from './rewrite.ts'

export interface RecoverOptions {
  /** The folder of packs; it exists. */
  readonly dir: string
  readonly log: (event: string, facts: ErrorFacts) => void
  readonly onCorrupt: (damage: CorruptBlock) => void
}

const PUBLISH_ENTRIES = 4096

/** @returns the packs that there are, and their sizes */
export async function recoverPacks(
  { files, index }: { readonly files: FileOps; readonly index: PackIndex },
  { dir, log, onCorrupt }: RecoverOptions,
): Promise<Map<number, number>> {
  await removeDoomed()
  const covered = await index.coveredBytes()
  const sizes = new Map<number, number>()
  for (const name of files.list(dir)) {
    const packId = packIdOf(name)
    if (packId !== undefined) sizes.set(packId, sizeOf(files, `${dir}/${name}`))
  }
  await dropWhatIsGone()
  for (const [packId, sizeBytes] of sizes) {
    const coveredBytes = covered.get(packId) ?? 0
    if (sizeBytes > coveredBytes || coveredBytes <= PACK_HEADER_BYTES) await recoverPack(packId, coveredBytes)
  }
  return sizes

  async function removeDoomed(): Promise<void> {
    const doomed = await index.doomedPacks()
    if (doomed.length === 0) return
    for (const packId of doomed) files.remove(`${dir}/${packFileName(packId)}`)
    await files.syncDir(dir)
    // Synced: the number is free from here on, and a new pack of that number must not be taken for the old one.
    await index.clearDoomed(doomed, { sync: true })
  }

  async function dropWhatIsGone(): Promise<void> {
    const cut = new Map<number, number>()
    for (const [packId, coveredBytes] of covered) {
      const sizeBytes = sizes.get(packId) ?? 0
      if (sizeBytes >= coveredBytes) continue
      cut.set(packId, sizeBytes)
      const path = `${dir}/${packFileName(packId)}`
      onCorrupt({
        path,
        offset: sizeBytes,
        reason: sizes.has(packId) ? 'the pack was cut short' : 'the pack is gone',
      })
      log('store.pack.lost', { packId, sizeBytes, coveredBytes })
    }
    if (cut.size === 0) return
    const ends = await index.cutPacks(cut)
    for (const packId of cut.keys()) covered.set(packId, ends.get(packId) ?? 0)
  }

  async function recoverPack(packId: number, coveredBytes: number): Promise<void> {
    const path = `${dir}/${packFileName(packId)}`
    try {
      const file = files.open(path, 'write')
      try {
        const header = new Uint8Array(PACK_HEADER_BYTES)
        const isHeaderSound = isPackHeader(header.subarray(0, await file.read(header, 0)))
        const start = Math.max(PACK_HEADER_BYTES, coveredBytes)
        let end = coveredBytes <= PACK_HEADER_BYTES ? 0 : coveredBytes
        let found = 0
        let entries: PlacedEntry[] = []
        // The bytes may be in the page cache only: the index must not outlive them. A rebuild after a restart of the
        // machine trusts the disk it has just read: writing a whole store anew would take hours.
        if (coveredBytes > 0 || files.changedSinceBoot(path)) {
          await rewriteInPlace(file, Math.min(start, coveredBytes), file.sizeBytes())
        }
        await file.sync()
        for await (const item of scanPack(file, start)) {
          if (item.type === 'damage') {
            const { offset, endOffset } = item
            onCorrupt({ path, offset, reason: `${endOffset - offset} bytes between blocks are damaged` })
            continue
          }
          entries.push({ ...item.entry, packId })
          end = item.endOffset
          found += 1
          if (entries.length >= PUBLISH_ENTRIES) {
            await index.publish(entries, new Map([[packId, end]]), { sync: false })
            entries = []
          }
        }
        const sizeBytes = file.sizeBytes()
        if (end === 0) {
          log('store.pack.empty', { packId, sizeBytes })
          sizes.delete(packId)
          files.remove(path)
          return
        }
        if (end < sizeBytes) {
          log('store.pack.cut', { packId, cutBytes: sizeBytes - end })
          file.truncate(end)
          await file.sync()
        }
        if (!isHeaderSound) onCorrupt({ path, offset: 0, reason: 'the header of the pack is damaged' })
        await files.syncDir(dir)
        await index.publish(entries, new Map([[packId, end]]), { sync: true })
        sizes.set(packId, end)
        log('store.pack.recovered', { packId, blocks: found, sizeBytes: end })
      } finally {
        file.close()
      }
    } catch (error) {
      throw asMirrorError(error, `recover pack ${packId}`, { facts: { path, packId } })
    }
  }
}

function sizeOf(files: FileOps, path: string): number {
  const file = files.open(path, 'read')
  try {
    return file.sizeBytes()
  } finally {
    file.close()
  }
}

/** @throws MirrorError `unsupported` for a pack of a later version: it must not be cut */
function isPackHeader(bytes: Uint8Array): boolean {
  try {
    decodePackHeader(bytes)
    return true
  } catch (error) {
    if (isMirrorError(error, 'corrupt')) return false
    throw error
  }
}
