/**
 * Goes through the index in slices, drops what is neither live nor touched, and counts for each pack what stays in it.
 * Look-ups go on meanwhile: see leases.ts for what keeps them right.
 */

import type { Place } from '../index/index.ts'
import type { Leases } from '../leases.ts'
import { ENTRY_HEADER_BYTES } from '../pack.ts'
import type { PackIndex, PlacedBlock } from '../packs/pack-index.ts'

export interface SweepCounts {
  readonly liveBlocks: number
  readonly deadBlocks: number
  /** Of the dead blocks, as they are stored; what lies in files outside of the store takes nothing of it. */
  readonly deadBytes: number
  /** By pack: what its entries that stay take in it. A pack that is not in it has none. */
  readonly liveBytes: ReadonlyMap<number, number>
}

const SLICE = 2048

export async function sweepIndex(
  {
    index,
    leases,
    isLive,
    isHeld,
  }: {
    readonly index: Pick<PackIndex, 'slice' | 'remove'>
    readonly leases: Pick<Leases, 'isTouched' | 'claim'>
    readonly isLive: (key: Uint8Array) => boolean
    /** Stays for where it lies, whoever needs it. */
    readonly isHeld: (place: Place) => boolean
  },
  {
    isDryRun,
    signal,
    onBlocks,
  }: {
    readonly isDryRun: boolean
    readonly signal?: AbortSignal | undefined
    readonly onBlocks: (count: number) => void
  },
): Promise<SweepCounts> {
  const counts = { liveBlocks: 0, deadBlocks: 0, deadBytes: 0 }
  const liveBytes = new Map<number, number>()
  let after: Uint8Array | undefined

  function stays({ place }: PlacedBlock): void {
    counts.liveBlocks += 1
    if (place.encoding === 'file') return
    const bytes = place.storedBytes + ENTRY_HEADER_BYTES
    liveBytes.set(place.packId, (liveBytes.get(place.packId) ?? 0) + bytes)
  }

  for (;;) {
    signal?.throwIfAborted()
    const slice = await index.slice(after, SLICE)
    const last = slice.at(-1)
    if (last === undefined) return { ...counts, liveBytes }
    after = last.key
    const dead: PlacedBlock[] = []
    for (const block of slice) {
      if (isLive(block.key) || leases.isTouched(block.key) || isHeld(block.place)) stays(block)
      else dead.push(block)
    }
    const isGone =
      isDryRun || dead.length === 0 ? dead.map(() => true) : await index.remove(dead, leases.claim)
    for (const [i, block] of dead.entries()) {
      if (isGone[i] === true) {
        counts.deadBlocks += 1
        counts.deadBytes += block.place.encoding === 'file' ? 0 : block.place.storedBytes
      } else {
        stays(block)
      }
    }
    onBlocks(slice.length)
  }
}
