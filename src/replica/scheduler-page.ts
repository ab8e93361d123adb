/**
 * The scheduler's view of one active page: the state of each block, and by segment how many are open (missing and
 * not asked for) and how many of those a near peer holds. All changes go through here, so that the counts agree.
 */
import type { SegmentRange } from './segments.ts'
import { cutSegments } from './segments.ts'

const DONE = 255

export interface SegmentState extends SegmentRange {
  readonly index: number
  /** Blocks that are missing and in no request. */
  open: number
  /** Those of the open that at least one near peer holds. */
  ready: number
  openBytes: number
  readyBytes: number
  missing: number
}

export interface PageState {
  readonly page: number
  readonly key: Uint8Array
  readonly lengths: readonly number[]
  readonly segments: readonly SegmentState[]
  /** Segment of each block. */
  readonly segmentOf: Uint16Array
  /** Requests in flight for each block, or DONE. */
  readonly flights: Uint8Array
  /** Near peers that hold each block. */
  readonly near: Uint8Array
  missing: number
  /** Owner of each segment, as of `ownersVersion` of the membership. */
  owners: readonly string[]
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
  }))
  const state: PageState = {
    page,
    key,
    lengths,
    segments,
    segmentOf: new Uint16Array(lengths.length),
    flights: new Uint8Array(lengths.length),
    near: new Uint8Array(lengths.length),
    missing: 0,
    owners: [],
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

/** False when the block was stored already. */
export function finishBlock(page: PageState, offset: number): boolean {
  if (isDone(page, offset)) return false
  if (isOpen(page, offset)) count(page, offset, -1)
  page.flights[offset] = DONE
  segmentAt(page, offset).missing--
  page.missing--
  return true
}

/** One more (1) or one less (-1) of the near peers holds the block. */
export function changeNear(page: PageState, offset: number, change: 1 | -1): void {
  const before = page.near[offset]!
  const after = Math.min(254, Math.max(0, before + change))
  page.near[offset] = after
  if (before > 0 === after > 0 || !isOpen(page, offset)) return
  const segment = segmentAt(page, offset)
  segment.ready += change
  segment.readyBytes += change * page.lengths[offset]!
}

function count(page: PageState, offset: number, change: 1 | -1): void {
  const segment = segmentAt(page, offset)
  const bytes = change * page.lengths[offset]!
  segment.open += change
  segment.openBytes += bytes
  if (page.near[offset]! === 0) return
  segment.ready += change
  segment.readyBytes += bytes
}
