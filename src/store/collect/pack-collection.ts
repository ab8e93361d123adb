/** The store of packs as a collection sees it: sweeps the index, then decides which packs are worth their trouble. */
import type { ErrorFacts } from '../../base/errors.ts'
import type { BlockBackings } from '../block-backings.ts'
import type { BlockReader, CorruptBlock } from '../block-store.ts'
import type { FileOps } from '../files.ts'
import type { FreeSpace } from '../free-space.ts'
import type { Leases } from '../leases.ts'
import { PACK_HEADER_BYTES } from '../pack.ts'
import type { PackFolder } from '../packs/pack-folder.ts'
import type { PackIndex } from '../packs/pack-index.ts'
import type { PackReader } from '../packs/pack-reader.ts'
import type { PackWriter } from '../packs/pack-writer.ts'
import type { ReservedPacks } from '../packs/reserved-packs.ts'
import type { CollectionTarget } from './collection.ts'
import { type ClosedPack, reclaimPacks } from './reclaim.ts'
import { sweepIndex } from './sweep.ts'

export interface PackCollectionComponents {
  readonly files: FileOps
  readonly index: PackIndex
  readonly folder: PackFolder
  readonly reader: PackReader
  readonly writer: PackWriter
  readonly reservedPacks: ReservedPacks
  readonly freeSpace: FreeSpace
  readonly leases: Leases
  readonly blocks: BlockReader
  readonly backings: Pick<BlockBackings, 'list'>
  /** Publishes what is pending. */
  readonly commit: () => Promise<void>
  readonly log: (event: string, facts: ErrorFacts) => void
  readonly onCorrupt: (damage: CorruptBlock) => void
}

export interface PackCollectionOptions {
  readonly maxPackBytes: number
  /** A pack with a larger share of garbage is compacted. */
  readonly maxGarbageShare: number
}

/** So many packs smaller than a quarter of the full size are put together: each run may leave one behind. */
const MANY_SMALL_PACKS = 8

export function createPackCollection(
  components: PackCollectionComponents,
  { maxPackBytes, maxGarbageShare }: PackCollectionOptions,
): CollectionTarget {
  const { index, folder, writer, reservedPacks, leases, blocks, backings, commit } = components

  /** Packs that get no more entries of the index, and those that the writer is at. */
  function listPacks(): { closed: Map<number, number>; inUse: Map<number, number> } {
    const closed = new Map<number, number>()
    const inUse = new Map<number, number>()
    for (const [packId, sizeBytes] of folder.sizes) {
      if (reservedPacks.isReserved(packId) || folder.inDoubt.has(packId)) continue
      if (writer.isInUse(packId)) inUse.set(packId, sizeBytes)
      else closed.set(packId, sizeBytes)
    }
    return { closed, inUse }
  }

  function isWasteful({ sizeBytes, liveBytes }: ClosedPack): boolean {
    const room = sizeBytes - PACK_HEADER_BYTES
    return room > 0 && (room - liveBytes) / room > maxGarbageShare
  }

  /** Those with the most garbage first: they give most for what is moved. */
  function chooseShrinkable(packs: readonly ClosedPack[]): ClosedPack[] {
    const small = packs.filter(({ sizeBytes }) => sizeBytes < maxPackBytes / 4)
    const isMerging = small.length >= MANY_SMALL_PACKS
    return packs
      .filter((pack) => isWasteful(pack) || (isMerging && pack.sizeBytes < maxPackBytes / 4))
      .toSorted((a, b) => a.liveBytes / a.sizeBytes - b.liveBytes / b.sizeBytes)
  }

  return {
    blocks,
    leases,
    countBlocks: () => index.blocks + writer.pending.size,
    touchPending: () => leases.touch([...writer.pending.values()].map(({ key }) => key)),
    async sweep(isLive, { isDryRun = false, signal, onProgress = () => undefined }) {
      // Taken before the sweep: what is closed now is counted in full by it.
      const { closed, inUse } = listPacks()
      const total = index.blocks
      let seen = 0
      // An adopted mirror waits for the tree that will need it: no snapshot names it yet.
      const adopted = new Set(
        backings.list().flatMap(({ purpose, id }) => (purpose === 'adopted' ? [id] : [])),
      )
      const { liveBytes, ...counts } = await sweepIndex(
        {
          index,
          leases,
          isLive,
          isHeld: (place) => place.encoding === 'file' && adopted.has(place.backingId),
        },
        {
          isDryRun,
          signal,
          onBlocks(count) {
            seen += count
            onProgress({ phase: 'sweep', done: seen, total: Math.max(seen, total) })
          },
        },
      )
      const describe = ([packId, sizeBytes]: [number, number]): ClosedPack => ({
        packId,
        sizeBytes,
        liveBytes: liveBytes.get(packId) ?? 0,
      })
      const packs = [...closed].map(describe)
      const empty = packs.filter((pack) => pack.liveBytes === 0)
      const shrinkable = chooseShrinkable(packs.filter((pack) => pack.liveBytes > 0))
      // Of a pack in use the count is only about right: it is never taken for empty, and always moved out of.
      const wasteful = [...inUse].map(describe).filter(isWasteful)
      if (isDryRun) {
        const shrunk = [...shrinkable, ...wasteful]
        return {
          ...counts,
          removedPacks: empty.length,
          compactedPacks: shrunk.length,
          freedBytes:
            empty.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) +
            shrunk.reduce((sum, pack) => sum + pack.sizeBytes - PACK_HEADER_BYTES - pack.liveBytes, 0),
        }
      }
      if (wasteful.length > 0) {
        await commit()
        shrinkable.push(...wasteful.filter(({ packId }) => writer.retire(packId)))
      }
      const totalBytes = shrinkable.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
      let doneBytes = 0
      const reclaimed = await reclaimPacks(components, {
        empty,
        shrinkable,
        maxPackBytes,
        signal,
        onBytes(bytes) {
          doneBytes += bytes
          onProgress({ phase: 'reclaim', done: doneBytes, total: totalBytes })
        },
      })
      return { ...counts, ...reclaimed }
    },
  }
}
