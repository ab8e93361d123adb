/**
 * The scheduler's view of one active page: the state of each block, and by segment how many are open (missing and
 * not asked for), how many of those a near peer holds, and how many can be had from each of the farther tiers. All
 * changes go through here, so that the counts agree.
 */
import type { SegmentRange } from './segments.ts'
import { cutSegments } from './segments.ts'

const DONE = 255
const MAX_COPIES = 254
/** Tiers of sources beyond the near peers (scheduler/tiers.ts): 1 to 3. */
export const FAR_TIERS = 3

export interface SegmentState extends SegmentRange {
  readonly index: number
  /** Blocks that are missing and in no request. */
  open: number
  /** Those of the open that at least one near peer holds. */
  ready: number
  openBytes: number
  readyBytes: number
  missing: number
  /** Of the missing blocks, those of which a peer of far tier 1, 2 or 3 has a copy. */
  readonly held: Uint32Array
}

export interface PageState {
  readonly page: number
  readonly key: Uint8Array
  readonly lengths: readonly number[]
  readonly segments: readonly SegmentState[]
  /** Segment of each block. */
  readonly segmentOf: Uint16Array
  /**
   * Requests in flight for each block, one more for one that is withheld, and for one that is withheld from far peers while no
   * near one holds it; or DONE.
   */
  readonly flights: Uint8Array
  readonly withheld: Set<number>
  readonly withheldFromFar: Set<number>
  /** Near peers that hold each block. */
  readonly near: Uint8Array
  /** The same for the peers of far tier 1, 2 and 3. */
  readonly far: readonly Uint8Array[]
  missing: number
  /** Sums over the segments, so that a page of which nothing can be asked is passed over at a glance. */
  open: number
  ready: number
  readyBytes: number
  /** The region by which each segment enters, as of `entriesVersion` of the regions. */
  entries: readonly string[]
  entriesVersion: number
  /** Owner of each segment, and the segments of this site, as of `ownersVersion` of the membership. */
  owners: readonly string[]
  own: readonly SegmentState[]
  ownersVersion: number
}

export function createPage(
  page: number,
  key: Uint8Array,
  lengths: readonly number[],
  has: readonly boolean[],
  segmentBytes: number,
): PageState {
  const segments = cutSegments(lengths, segmentBytes).map((range, index) => ({
    ...range,
    index,
    open: 0,
    ready: 0,
    openBytes: 0,
    readyBytes: 0,
    missing: 0,
    held: new Uint32Array(FAR_TIERS),
  }))
  const state: PageState = {
    page,
    key,
    lengths,
    segments,
    segmentOf: new Uint16Array(lengths.length),
    flights: new Uint8Array(lengths.length),
    withheld: new Set(),
    withheldFromFar: new Set(),
    near: new Uint8Array(lengths.length),
    far: Array.from({ length: FAR_TIERS }, () => new Uint8Array(lengths.length)),
    missing: 0,
    open: 0,
    ready: 0,
    readyBytes: 0,
    entries: [],
    entriesVersion: -1,
    owners: [],
    own: [],
    ownersVersion: -1,
  }
  for (const segment of segments) {
    for (let offset = segment.firstBlock; offset < segment.endBlock; offset++) {
      state.segmentOf[offset] = segment.index
      if (has[offset]) {
        state.flights[offset] = DONE
        continue
      }
      segment.open++
      segment.openBytes += lengths[offset]!
      segment.missing++
      state.open++
      state.missing++
    }
  }
  return state
}

export function isDone(page: PageState, offset: number): boolean {
  return page.flights[offset] === DONE
}

export function isOpen(page: PageState, offset: number): boolean {
  return page.flights[offset] === 0
}

export function isReady(page: PageState, offset: number): boolean {
  return page.near[offset]! > 0
}

/** Segment of a block. */
export function segmentAt(page: PageState, offset: number): SegmentState {
  return page.segments[page.segmentOf[offset]!]!
}

export function startFlight(page: PageState, offset: number): void {
  if (page.flights[offset] === 0) count(page, offset, -1)
  page.flights[offset]!++
}

/** A request for the block ended without it. */
export function endFlight(page: PageState, offset: number): void {
  if (isDone(page, offset) || isOpen(page, offset)) return
  page.flights[offset]!--
  if (page.flights[offset] === 0) count(page, offset, 1)
}

/** Nobody is asked for the block until it is released, unless somebody is already. */
export function withhold(page: PageState, offset: number): void {
  if (!isOpen(page, offset)) return
  startFlight(page, offset)
  page.withheld.add(offset)
}

export function release(page: PageState, offset: number): void {
  if (page.withheld.delete(offset)) endFlight(page, offset)
}

/** Only near peers are asked for the block until it is released, unless somebody is asked already. */
export function withholdFromFar(page: PageState, offset: number): void {
  if (!isOpen(page, offset) || page.withheldFromFar.has(offset)) return
  page.withheldFromFar.add(offset)
  if (!isReady(page, offset)) startFlight(page, offset)
}

export function releaseToFar(page: PageState, offset: number): void {
  if (page.withheldFromFar.delete(offset) && !isReady(page, offset)) endFlight(page, offset)
}

/** False when the block was stored already. */
export function finishBlock(page: PageState, offset: number): boolean {
  if (isDone(page, offset)) return false
  if (isOpen(page, offset)) count(page, offset, -1)
  page.flights[offset] = DONE
  page.withheld.delete(offset)
  page.withheldFromFar.delete(offset)
  const segment = segmentAt(page, offset)
  segment.missing--
  page.missing--
  for (const [index, copies] of page.far.entries()) if (copies[offset]! > 0) segment.held[index]!--
  return true
}

/** One more (1) or one less (-1) of the near peers holds the block. */
export function changeNear(page: PageState, offset: number, change: 1 | -1): void {
  const before = page.near[offset]!
  const after = Math.min(MAX_COPIES, Math.max(0, before + change))
  const isOther = before > 0 !== after > 0
  const isForNear = isOther && page.withheldFromFar.has(offset)
  // As ready or not as it is while it is open.
  if (isForNear && after === 0) startFlight(page, offset)
  page.near[offset] = after
  if (isForNear && after > 0) endFlight(page, offset)
  if (isForNear || !isOther || !isOpen(page, offset)) return
  countReady(page, segmentAt(page, offset), change, change * page.lengths[offset]!)
}

/** The same for the peers of a far tier. Returns true when the tier has the block now and had it not before. */
export function changeFar(page: PageState, tier: number, offset: number, change: 1 | -1): boolean {
  const copies = page.far[tier - 1]!
  const before = copies[offset]!
  const after = Math.min(MAX_COPIES, Math.max(0, before + change))
  copies[offset] = after
  if (before > 0 === after > 0) return false
  if (!isDone(page, offset)) segmentAt(page, offset).held[tier - 1]! += change
  return after > 0
}

/** The nearest far tier, of those up to `maxTier`, that has the block; 0 when none has. */
export function farTierOf(page: PageState, offset: number, maxTier: number): number {
  for (let tier = 1; tier <= maxTier; tier++) if (isHeldBy(page, tier, offset)) return tier
  return 0
}

/** A peer of the far tier has the block. */
export function isHeldBy(page: PageState, tier: number, offset: number): boolean {
  return page.far[tier - 1]![offset]! > 0
}

/** Some of what is missing of the segment can be had from a far tier up to `maxTier`. */
export function isHeldFar(segment: SegmentState, maxTier: number): boolean {
  for (let tier = 1; tier <= maxTier; tier++) if (segment.held[tier - 1]! > 0) return true
  return false
}

function count(page: PageState, offset: number, change: 1 | -1): void {
  const segment = segmentAt(page, offset)
  const bytes = change * page.lengths[offset]!
  page.open += change
  segment.open += change
  segment.openBytes += bytes
  if (page.near[offset]! > 0) countReady(page, segment, change, bytes)
}

function countReady(page: PageState, segment: SegmentState, blocks: number, bytes: number): void {
  page.ready += blocks
  page.readyBytes += bytes
  segment.ready += blocks
  segment.readyBytes += bytes
}
