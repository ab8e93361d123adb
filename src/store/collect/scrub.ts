/**
 * Reads every pack at a set rate and checks each block against its digest, so that rot is found while other sites still
 * have the block; then the blocks in files outside of the store (scrub-backings.ts), at the same rate. Pack by pack, from
 * front to back: what a disk likes best. What is damaged is reported as any reader would report it, and forgotten.
 *
 * Runs beside everything else. It touches no key, so a collection goes on as if it were not there; a pack that is
 * compacted or removed meanwhile is left at that.
 */
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import type { ErrorFacts } from '../../base/errors.ts'
import { asMirrorError } from '../../base/errors.ts'
import { cidFromKeyBytes } from '../../block/cid.ts'
import type { CorruptBlock } from '../block-store.ts'
import type { FileOps, StoreFile } from '../files.ts'
import { isSamePlace } from '../index/index.ts'
import { PACK_HEADER_BYTES } from '../pack.ts'
import type { PackFolder } from '../packs/pack-folder.ts'
import type { PackedBlock, PackIndex, PlacedBlock } from '../packs/pack-index.ts'
import type { PackReader } from '../packs/pack-reader.ts'
import { scanPack } from '../packs/pack-scan.ts'
import type { BackedPosition, BackingsScrubComponents } from './scrub-backings.ts'
import { countBackedBytes, scrubBackings } from './scrub-backings.ts'
import type { ScrubReport } from './scrub-report.ts'

export interface ScrubOptions {
  /** Packs with a lower number were read before. */
  readonly fromPack?: number
  /** All packs, and what comes before this file, were read before. */
  readonly fromFile?: BackedPosition
  readonly bytesPerSecond: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
  /** The pack is done: after a restart the scrub may go on behind it. */
  readonly onPack?: (packId: number) => Promise<void>
  /** Packs are done, and what comes before this file. */
  readonly onFile?: (position: BackedPosition) => Promise<void>
}

export type Scrub = (options: ScrubOptions) => Promise<ScrubReport>

/** Bytes [offset, endOffset) of the pack are no sound entry. */
interface Region {
  readonly offset: number
  readonly endOffset: number
}

const SLICE = 4096
/** Read at one time: about what a second allows, within these. */
const MIN_PIECE_BYTES = 64 * 1024
const MAX_PIECE_BYTES = 1024 * 1024

export function createScrub({
  files,
  index,
  folder,
  reader,
  backed,
  clock,
  log,
  onCorrupt,
}: {
  readonly files: FileOps
  readonly index: PackIndex
  readonly folder: PackFolder
  readonly reader: PackReader
  readonly backed: Omit<BackingsScrubComponents, 'index' | 'log'>
  readonly clock: Clock
  readonly log: (event: string, facts: ErrorFacts) => void
  readonly onCorrupt: (damage: CorruptBlock) => void
}): Scrub {
  /** Reads what the index says lies in these regions, and reports what is not there. */
  async function findDamaged(
    packId: number,
    regions: readonly Region[],
    signal?: AbortSignal,
  ): Promise<number> {
    let damaged = 0
    for (let after: Uint8Array | undefined; ; ) {
      signal?.throwIfAborted()
      const slice = await index.slice(after, SLICE)
      after = slice.at(-1)?.key
      if (after === undefined) return damaged
      for (const block of slice) {
        if (isIn(packId, block) && isWithin(block, regions) && (await isDamaged(block))) damaged += 1
      }
    }
  }

  async function isDamaged({ key, place }: PackedBlock): Promise<boolean> {
    const cid = cidFromKeyBytes(key)
    const path = folder.pathOf(place.packId)
    let reason: string
    try {
      const read = await reader.read(cid, place)
      if ('plain' in read) return false
      reason = read.reason
    } catch (error) {
      // For a reader this says nothing about the block; for whoever looks after the disk it is lost.
      reason = asMirrorError(error, 'read it').message
    }
    const [now] = await index.find([key])
    if (now === undefined || !isSamePlace(now, place)) return false
    onCorrupt({ cid, path, offset: place.offset, reason })
    await index.forget(key, place)
    return true
  }

  return async ({ fromPack = 0, fromFile, bytesPerSecond, signal, onProgress, onPack, onFile }) => {
    const counts = { packs: 0, bytes: 0, blocks: 0, damagedBlocks: 0, unreadablePacks: 0 }
    const pieceBytes = Math.max(MIN_PIECE_BYTES, Math.min(MAX_PIECE_BYTES, bytesPerSecond))
    // Never earlier than now: what was lost to a pause is not made up for with a burst.
    let nextMs = clock.monotonicMs()
    const packs = [...folder.sizes]
      .filter(([packId]) => fromFile === undefined && packId >= fromPack)
      .toSorted(([a], [b]) => a - b)
    const outside = { ...backed, index, log }
    const totalBytes =
      packs.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0) + (await countBackedBytes(outside))

    async function pace(bytes: number): Promise<void> {
      counts.bytes += bytes
      onProgress?.({ doneBytes: counts.bytes, totalBytes })
      const nowMs = clock.monotonicMs()
      nextMs = Math.max(nextMs, nowMs) + (bytes / bytesPerSecond) * 1000
      const waitMs = nextMs - nowMs
      if (waitMs > 0) await sleep(clock, waitMs, signal)
      signal?.throwIfAborted()
    }

    for (const [packId] of packs) {
      signal?.throwIfAborted()
      const covered = folder.sizes.get(packId)
      if (covered === undefined) continue
      const regions: Region[] = []
      let end = PACK_HEADER_BYTES
      try {
        const file = files.open(folder.pathOf(packId), 'read')
        try {
          for await (const item of scanPack(paced(file, pieceBytes, pace), PACK_HEADER_BYTES)) {
            if (item.type === 'damage') {
              regions.push(item)
            } else {
              counts.blocks += 1
              end = item.endOffset
            }
          }
        } finally {
          file.close()
        }
      } catch (error) {
        signal?.throwIfAborted()
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        counts.unreadablePacks += 1
        log('store.scrub.unreadable', { packId, reason: asMirrorError(error, `read pack ${packId}`).message })
      }
      // What ends a pack unsound is no item of the scan.
      if (end < covered) regions.push({ offset: end, endOffset: covered })
      if (regions.length > 0) counts.damagedBlocks += await findDamaged(packId, regions, signal)
      counts.packs += 1
      await onPack?.(packId)
    }
    const found = await scrubBackings(outside, { from: fromFile, pace, signal, onPosition: onFile })
    return {
      ...counts,
      blocks: counts.blocks + found.blocks,
      damagedBlocks: counts.damagedBlocks + found.damagedBlocks,
      backings: found.backings,
      unreadableBackings: found.unreadableBackings,
    }
  }
}

function isWithin({ place }: PlacedBlock, regions: readonly Region[]): boolean {
  return regions.some(({ offset, endOffset }) => place.offset >= offset && place.offset < endOffset)
}

/** The same file, read in small pieces with pauses in between. */
function paced(file: StoreFile, pieceBytes: number, pace: (bytes: number) => Promise<void>): StoreFile {
  return {
    ...file,
    async read(into, position) {
      let done = 0
      while (done < into.length) {
        const piece = into.subarray(done, done + pieceBytes)
        const count = await file.read(piece, position + done)
        done += count
        await pace(count)
        if (count < piece.length) break
      }
      return done
    },
  }
}

function isIn(packId: number, block: PlacedBlock): block is PackedBlock {
  return block.place.encoding !== 'file' && block.place.packId === packId
}
