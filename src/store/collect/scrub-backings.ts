/**
 * The part of a scrub that reads blocks in files outside of the store, folder by folder and file by file. A block that is
 * not there any more is lost, as for any reader, and so is what the disk under a check-out cannot read. A folder of
 * which nothing is found is passed over: it may be a disk that is not mounted, and is back tomorrow.
 */
import type { ErrorFacts } from '../../base/errors.ts'
import { asMirrorError } from '../../base/errors.ts'
import { cidFromKeyBytes } from '../../block/cid.ts'
import type { BackingIndex, HeldBlock } from '../backings/backing-index.ts'
import type { BackingReader } from '../backings/backing-reader.ts'
import type { StoredBacking } from '../backings/backing-values.ts'
import { isSamePlace } from '../index/index.ts'
import type { PackIndex } from '../packs/pack-index.ts'

/** A file of a backing: what comes before it was read. */
export interface BackedPosition {
  readonly backingId: number
  readonly fileId: number
}

export interface BackingsScrubComponents {
  readonly index: Pick<PackIndex, 'find'>
  readonly backings: BackingIndex
  readonly reader: BackingReader
  readonly lose: (block: HeldBlock, why: { readonly reason: string; readonly path: string }) => Promise<void>
  readonly log: (event: string, facts: ErrorFacts) => void
}

export interface BackingsScrubReport {
  readonly backings: number
  readonly blocks: number
  readonly damagedBlocks: number
  /** Folders that were not found, or could not be read in full. */
  readonly unreadableBackings: number
}

/** Of so many files of a folder one is to be there. */
const PROBES = 64

/** About as many as will be read. */
export async function countBackedBytes({ backings }: BackingsScrubComponents): Promise<number> {
  let bytes = 0
  for (const id of backings.backings.keys()) {
    for await (const { identity } of backings.files(id)) bytes += identity.sizeBytes
  }
  return bytes
}

export async function scrubBackings(
  { index, backings, reader, lose, log }: BackingsScrubComponents,
  {
    from,
    pace,
    signal,
    onPosition,
  }: {
    readonly from: BackedPosition | undefined
    readonly pace: (bytes: number) => Promise<void>
    readonly signal: AbortSignal | undefined
    readonly onPosition: ((position: BackedPosition) => Promise<void>) | undefined
  },
): Promise<BackingsScrubReport> {
  const counts = { backings: 0, blocks: 0, damagedBlocks: 0, unreadableBackings: 0 }

  /** @returns false when the disk could not be asked */
  async function scrubBlock(backing: StoredBacking, block: HeldBlock): Promise<boolean> {
    const read = await readBlock(backing, block)
    if (read instanceof Uint8Array) {
      counts.blocks += 1
      return true
    }
    const [now] = await index.find([block.key])
    if (now === undefined || !isSamePlace(now, block.place)) return true
    if (read === undefined) return false
    counts.damagedBlocks += 1
    await lose(block, read)
    return true
  }

  async function readBlock(backing: StoredBacking, { key, place }: HeldBlock) {
    try {
      return await reader.read(cidFromKeyBytes(key), place)
    } catch (error) {
      const { facts, message } = asMirrorError(error, 'read it')
      // Of the disk under our own check-out this is the last word; somebody else's may only be closed to us.
      if (backing.purpose === 'check-out' && facts.errno === 'EIO')
        return { reason: message, path: `backing ${backing.id}` }
      return undefined
    }
  }

  async function isThere(id: number): Promise<boolean> {
    let left = PROBES
    for await (const file of backings.files(id)) {
      try {
        const open = reader.open(id, file)
        open?.close()
        if (open !== undefined) return true
      } catch {
        // It is there, and not for us: the next one may be.
      }
      if (--left === 0) break
    }
    return left === PROBES
  }

  for (const id of [...backings.backings.keys()].toSorted((a, b) => a - b)) {
    signal?.throwIfAborted()
    const backing = backings.backings.get(id)
    if (backing === undefined || id < (from?.backingId ?? 0)) continue
    // What is open from before may be another file by now, or one that was removed.
    reader.forget(id)
    if (!(await isThere(id))) {
      counts.unreadableBackings += 1
      log('store.scrub.absent', { backingId: id, label: backing.label })
      continue
    }
    const firstFile = from?.backingId === id ? from.fileId : 0
    let isReadable = true
    for await (const run of backings.held(id)) {
      const due = run.filter(({ place }) => place.fileId >= firstFile)
      for (const block of due) {
        signal?.throwIfAborted()
        isReadable = (await scrubBlock(backing, block)) && isReadable
        await pace(block.place.lengthBytes)
      }
      const last = due.at(-1)
      // The next run may begin in the same file: it is read again from its beginning.
      if (last !== undefined) await onPosition?.({ backingId: id, fileId: last.place.fileId })
    }
    if (isReadable) counts.backings += 1
    else {
      counts.unreadableBackings += 1
      log('store.scrub.unreadable', { backingId: id, label: backing.label })
    }
    await onPosition?.({ backingId: id + 1, fileId: 0 })
  }
  return counts
}
