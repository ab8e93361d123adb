/**
 * Spreads what can be asked for over those that have it, and makes requests of it. Which blocks may be asked of whom is
 * the plan's to say (scheduler/plan.ts); how much at a time, the peers' pipelines.
 */
import type { BitSet } from '../bit-set.ts'
import type { PageState, SegmentState } from './page.ts'
import { isOpen, isReady, startFlight } from './page.ts'
import type { PeerState, Request } from './peer.ts'
import { isSource, recordRequest } from './peer.ts'
import type { SchedulerState } from './state.ts'
import { NEAR, tierFor } from './tiers.ts'
import type { RequestReason, SchedulerCommand } from './types.ts'

export interface Source {
  readonly peer: PeerState
  room: number
  /** Offsets chosen, by page; undefined for most sources in most plans. */
  chosen: Map<number, number[]> | undefined
  /** Shared by all sources of one kind. */
  readonly budget: { bytes: number }
}

export interface Sources {
  readonly near: readonly Source[]
  readonly far: readonly Source[]
}

/** Peers that may be asked now, and how much each of them. */
export function sourcesOf(state: SchedulerState, nowMs: number): Sources {
  const near: Source[] = []
  const far: Source[] = []
  const inFlight = { near: 0, far: 0 }
  for (const peer of state.peers.values()) inFlight[peer.isNear ? 'near' : 'far'] += peer.inFlightBytes
  const { maxInFlightBytes } = state.settings
  const nearBudget = { bytes: maxInFlightBytes * 0.75 - inFlight.near }
  const farBudget = { bytes: maxInFlightBytes - inFlight.near - inFlight.far }
  for (const peer of state.peers.values()) {
    if (!isSource(peer, nowMs)) continue
    const { isNear } = peer
    const budget = isNear ? nearBudget : farBudget
    const source = { peer, room: roomBytes(state, peer), chosen: undefined, budget }
    if (isNear) near.push(source)
    else far.push(source)
  }
  return { near, far }
}

/** Room in the pipeline; none until a quarter of it is free, so that requests carry many blocks. */
export function roomBytes(state: SchedulerState, peer: PeerState): number {
  const bytes = state.share.limitBytes(peer.peer)
  const free = bytes - peer.inFlightBytes
  return free >= bytes / 4 ? free : 0
}

/** Nothing is asked of any of them. */
export function isIdle(sources: readonly Source[]): boolean {
  return sources.every(({ peer }) => peer.inFlightBlocks === 0)
}

/** Some of the sources can be asked for more. */
export function hasRoom(sources: readonly Source[]): boolean {
  return sources.some(({ room, budget }) => room > 0 && budget.bytes > 0)
}

/**
 * Of the sources with room those that may have something to give. The others were asked for all that they have and that is
 * open, and nothing has changed since: most plans end here, so that their cost does not grow with what is missing.
 */
export function freshSources(state: SchedulerState, sources: readonly Source[]): readonly Source[] {
  return sources.filter(
    ({ peer, room, budget }) => room > 0 && budget.bytes > 0 && peer.spentAt !== state.changes,
  )
}

/** After all blocks were offered to `sources`: who has room left has nothing more to give. */
export function noteSpent(state: SchedulerState, sources: readonly Source[]): void {
  for (const { peer, room, budget } of sources) if (room > 0 && budget.bytes > 0) peer.spentAt = state.changes
}

/** What a source holds of one page: looked up once, not for each block. */
export interface View {
  readonly source: Source
  readonly isFull: boolean
  readonly partial: BitSet | undefined
  readonly lacks: BitSet | undefined
}

export function viewsOf(sources: readonly Source[], page: number): View[] {
  const views: View[] = []
  for (const source of sources) {
    const { peer } = source
    const isFull = peer.isComplete || peer.fullPages.has(page)
    const partial = isFull ? undefined : peer.partial.get(page)
    if (isFull || partial !== undefined) views.push({ source, isFull, partial, lacks: peer.lacks.get(page) })
  }
  return views
}

/**
 * Takes the open blocks of a segment: each from the source that would deliver it first, of the nearest tier that has it.
 * What near peers hold is for `maxTier` 0 alone. False when no source has room left.
 */
export function choose(
  state: SchedulerState,
  page: PageState,
  segment: SegmentState,
  views: readonly View[],
  maxTier: number,
): boolean {
  for (let offset = segment.firstBlock; offset < segment.endBlock; offset++) {
    if (!isOpen(page, offset) || isReady(page, offset) !== (maxTier === NEAR)) continue
    const tier = maxTier === NEAR ? NEAR : tierFor(state, page, offset, maxTier)
    if (tier === NEAR && maxTier !== NEAR) continue
    const bytes = page.lengths[offset]!
    let best: Source | undefined
    let bestSeconds = Number.POSITIVE_INFINITY
    let isRoomLeft = false
    for (const { source, isFull, partial, lacks } of views) {
      if (source.room <= 0 || source.budget.bytes <= 0) continue
      isRoomLeft = true
      if (source.peer.tier !== tier || !(isFull || partial?.has(offset)) || lacks?.has(offset)) continue
      const seconds = (state.settings.maxPipelineBytes * 4 - source.room) / Math.max(source.peer.rate, 1024)
      if (seconds >= bestSeconds) continue
      best = source
      bestSeconds = seconds
    }
    if (!isRoomLeft) return false
    if (best === undefined) continue
    best.room -= bytes
    best.budget.bytes -= bytes
    take(best, page, offset)
    startFlight(page, offset)
  }
  return true
}

/** The source is to be asked for the block; `issue` makes the request. */
export function take(source: Source, page: PageState, offset: number): void {
  source.chosen ??= new Map()
  const chosen = source.chosen.get(page.page)
  if (chosen === undefined) source.chosen.set(page.page, [offset])
  else chosen.push(offset)
}

/** Turns what was chosen into requests. Returns their bytes. */
export function issue(
  state: SchedulerState,
  sources: readonly Source[],
  reason: RequestReason,
  nowMs: number,
  commands: SchedulerCommand[],
): number {
  let issuedBytes = 0
  for (const source of sources) {
    const { peer, chosen } = source
    if (chosen === undefined) continue
    for (const [pageNumber, all] of chosen) {
      const page = state.pages.get(pageNumber)!
      for (let at = 0; at < all.length; at += state.settings.maxOffsetsPerRequest) {
        const offsets = all.slice(at, at + state.settings.maxOffsetsPerRequest)
        const request: Request = {
          id: state.nextRequest++,
          peer,
          page: pageNumber,
          due: new Set(offsets),
          sentMs: nowMs,
          sentClockMs: state.time.clockMs,
          bytes: offsets.reduce((sum, offset) => sum + page.lengths[offset]!, 0),
          reason,
          hasAnswer: false,
        }
        state.requests.set(request.id, request)
        if (peer.requests.size === 0) state.share.begins(peer.peer, state.time.clockMs)
        recordRequest(peer, request, nowMs)
        state.requestedBlocks[reason] += offsets.length
        issuedBytes += request.bytes
        commands.push({
          kind: 'request',
          request: request.id,
          peer: peer.peer,
          page: pageNumber,
          offsets,
          reason,
        })
      }
    }
    source.chosen = undefined
  }
  return issuedBytes
}
