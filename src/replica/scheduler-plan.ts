/**
 * Chooses what to ask of whom. Tiers first: what a near peer holds is asked only of near peers; what none holds, and
 * is this site's share, of far ones, of the nearest tier that has it and only of those that are open to this site; the
 * rest is waited for, as long as its owner, or the region that it enters by, keeps its lease.
 */
import type { PageState, SegmentState } from './scheduler-page.ts'
import { farTierOf, isHeldFar, isOpen, isReady, startFlight } from './scheduler-page.ts'
import type { PeerState, Request } from './scheduler-peer.ts'
import { holds, isSource, leaseMs, recordRequest, roomBytes } from './scheduler-peer.ts'
import type { SchedulerState } from './scheduler-state.ts'
import { ownersOf, updateMembers } from './scheduler-state.ts'
import {
  awaitedRegion,
  endRegionLeases,
  entriesOf,
  FARTHEST,
  isOverdue,
  NEAR,
  openTier,
  updateRegions,
} from './scheduler-tiers.ts'
import type { RequestReason, SchedulerCommand } from './scheduler-types.ts'

/** In the end game a request this old is asked of a second near peer. */
const END_GAME_AGE_MS = 1000
/** News that help nobody here keep a lease for this many times its length, which an owner could stretch itself. */
const MAX_USELESS_LEASES = 15
const MAX_USELESS_LEASE_MS = 8000
/** Duplicates that the end game may cost, as a share of the snapshot. */
const END_GAME_SHARE = 0.005
const END_GAME_MIN_BYTES = 1024 * 1024

interface Source {
  readonly peer: PeerState
  room: number
  /** Offsets chosen, by page; undefined for most sources in most plans. */
  chosen: Map<number, number[]> | undefined
  /** Shared by all sources of one kind. */
  readonly budget: { bytes: number }
}

/** Segments that wait for one near owner, or for one region. */
interface Awaited {
  bytes: number
  last: { page: PageState; segment: SegmentState }
}

/** Appends requests; returns the next instant at which time alone changes the answer. */
export function plan(state: SchedulerState, nowMs: number, commands: SchedulerCommand[]): number {
  let wakeMs = nowMs + 1000
  const { near, far } = sourcesOf(state, nowMs)
  let readyBytes = 0
  for (const page of state.pages.values()) {
    for (const segment of page.segments) {
      readyBytes += segment.readyBytes
      if (segment.ready > 0) choose(state, page, segment, near, NEAR)
    }
  }
  issue(state, near, 'near', nowMs, commands)
  if (state.hasAllPages) endGame(state, near, nowMs, commands)

  const openMs = farOpensAtMs(state)
  if (openMs > nowMs) {
    state.requestableBytes = readyBytes
    return Math.min(wakeMs, openMs)
  }
  updateMembers(state, nowMs)
  updateRegions(state, nowMs)
  let survey = surveyFar(state, far, nowMs)
  wakeMs = Math.min(wakeMs, survey.wakeMs)
  if (survey.hasLapsed) {
    updateMembers(state, nowMs)
    updateRegions(state, nowMs)
    survey = surveyFar(state, far, nowMs)
  }
  issue(state, far, 'owner', nowMs, commands)
  steal(state, far, survey, nowMs, commands)
  state.requestableBytes = readyBytes + survey.ownBytes
  return wakeMs
}

function sourcesOf(state: SchedulerState, nowMs: number): { near: Source[]; far: Source[] } {
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
    const source = { peer, room: roomBytes(peer, state.settings), chosen: undefined, budget }
    if (isNear) near.push(source)
    else far.push(source)
  }
  return { near, far }
}

/** WAN requests wait until every reachable neighbour said what it holds, or its grace is over. */
function farOpensAtMs(state: SchedulerState): number {
  let opensMs = 0
  for (const peer of state.peers.values()) {
    if (peer.isNear && !peer.hasAnswered && (peer.isConnected || peer.wants))
      opensMs = Math.max(opensMs, peer.graceUntilMs)
  }
  return opensMs
}

interface FarSurvey {
  /** Open bytes of this site's own share that can be had now. */
  readonly ownBytes: number
  /** By near owner. */
  readonly awaited: ReadonlyMap<string, Awaited>
  /** Of this site's own share, by the region that could have taken it by now. */
  readonly awaitedRegions: ReadonlyMap<string, Awaited>
  readonly hasLapsed: boolean
  readonly wakeMs: number
}

/** Chooses this site's share, and looks after the leases of the other owners and regions. */
function surveyFar(state: SchedulerState, far: readonly Source[], nowMs: number): FarSurvey {
  const awaited = new Map<string, Awaited>()
  const awaitedRegions = new Map<string, Awaited>()
  const waiting = new Set<string>()
  let ownBytes = 0
  for (const page of state.pages.values()) {
    if (page.missing === 0) continue
    const owners = ownersOf(state, page)
    const entries = entriesOf(state, page)
    for (const segment of page.segments) {
      const bytes = segment.openBytes - segment.readyBytes
      if (segment.open === segment.ready) continue
      const owner = owners[segment.index]!
      const isOwn = owner === state.settings.self.site
      const entry = entries[segment.index]
      const region = awaitedRegion(state, segment, entry)
      if (region !== undefined) {
        // Whoever owns it here, nobody can take it yet: no owner loses its lease for that.
        waiting.add(region)
        if (isOwn && isOverdue(state, segment, region)) addAwaited(awaitedRegions, region, page, segment)
      } else if (isOwn) {
        const maxTier = openTier(state, entry)
        if (isHeldFar(segment, maxTier) || state.settings.origin === undefined) ownBytes += bytes
        choose(state, page, segment, far, maxTier)
      } else addAwaited(awaited, owner, page, segment)
    }
  }
  const isIdle = far.every(({ peer }) => peer.inFlightBlocks === 0)
  const isProgressing = (lease: number): boolean => isIdle || nowMs - state.farAnswerMs < lease
  let hasLapsed = false
  let wakeMs = Number.POSITIVE_INFINITY
  for (const peer of state.peers.values()) {
    if (!peer.isNear || !peer.wants || peer.isSilent || peer.isHoarding) continue
    if (!awaited.has(peer.place.site)) {
      peer.awaitedSinceMs = undefined
      continue
    }
    peer.awaitedSinceMs ??= nowMs
    if (!peer.isConnected) {
      wakeMs = Math.min(wakeMs, peer.graceUntilMs)
      continue
    }
    const lease = leaseMs(peer, state.segmentBytes, state.settings.minLeaseMs)
    if (
      nowMs - Math.max(peer.usefulMs, peer.awaitedSinceMs) >
      MAX_USELESS_LEASES * Math.min(lease, MAX_USELESS_LEASE_MS)
    ) {
      peer.isHoarding = true
      hasLapsed = true
      continue
    }
    const endsMs = Math.max(peer.newsMs, peer.awaitedSinceMs) + lease
    if (nowMs < endsMs) wakeMs = Math.min(wakeMs, endsMs)
    else if (isProgressing(lease)) {
      peer.isSilent = true
      hasLapsed = true
    }
  }
  const regions = endRegionLeases(state, waiting, isProgressing, nowMs)
  return {
    ownBytes,
    awaited,
    awaitedRegions,
    hasLapsed: hasLapsed || regions.hasLapsed,
    wakeMs: Math.min(wakeMs, regions.wakeMs),
  }
}

function addAwaited(
  awaited: Map<string, Awaited>,
  name: string,
  page: PageState,
  segment: SegmentState,
): void {
  const bytes = segment.openBytes - segment.readyBytes
  const known = awaited.get(name)
  if (known === undefined) awaited.set(name, { bytes, last: { page, segment } })
  else {
    known.bytes += bytes
    known.last = { page, segment }
  }
}

/**
 * Spreads the open blocks of a segment over the sources: each to the one that would deliver it first, of the nearest
 * tier that has it. What near peers hold is for `maxTier` 0 alone.
 */
function choose(
  state: SchedulerState,
  page: PageState,
  segment: SegmentState,
  sources: readonly Source[],
  maxTier: number,
): void {
  for (let offset = segment.firstBlock; offset < segment.endBlock; offset++) {
    if (!isOpen(page, offset) || isReady(page, offset) !== (maxTier === NEAR)) continue
    const tier = maxTier === NEAR ? NEAR : farTierOf(page, offset, maxTier)
    if (tier === NEAR && maxTier !== NEAR) continue
    const bytes = page.lengths[offset]!
    let best: Source | undefined
    let bestSeconds = Number.POSITIVE_INFINITY
    let hasRoom = false
    for (const source of sources) {
      if (source.room <= 0 || source.budget.bytes <= 0) continue
      hasRoom = true
      if (source.peer.tier !== tier || !holds(source.peer, page.page, offset)) continue
      const seconds = (state.settings.maxPipelineBytes * 4 - source.room) / Math.max(source.peer.rate, 1024)
      if (seconds >= bestSeconds) continue
      best = source
      bestSeconds = seconds
    }
    if (!hasRoom) return
    if (best === undefined) continue
    best.room -= bytes
    best.budget.bytes -= bytes
    take(best, page, offset)
    startFlight(page, offset)
  }
}

function take(source: Source, page: PageState, offset: number): void {
  source.chosen ??= new Map()
  const chosen = source.chosen.get(page.page)
  if (chosen === undefined) source.chosen.set(page.page, [offset])
  else chosen.push(offset)
}

/** Turns what was chosen into requests. */
function issue(
  state: SchedulerState,
  sources: readonly Source[],
  reason: RequestReason,
  nowMs: number,
  commands: SchedulerCommand[],
): void {
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
          bytes: offsets.reduce((sum, offset) => sum + page.lengths[offset]!, 0),
          reason,
          hasAnswer: false,
        }
        state.requests.set(request.id, request)
        recordRequest(peer, request, nowMs)
        state.requestedBlocks[reason] += offsets.length
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
}

/**
 * With nothing of its own left to ask for, a site takes the last waiting segment of an owner, or of a region, that
 * would need longer than a lease for what it has left. One segment at a time, from the end: they work from the front.
 */
function steal(
  state: SchedulerState,
  far: readonly Source[],
  survey: FarSurvey,
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  if (survey.ownBytes > 0 || far.some(({ peer }) => peer.inFlightBlocks > 0)) return
  const { minLeaseMs } = state.settings
  let slowest: Awaited | undefined
  let slowestMs = minLeaseMs
  for (const peer of state.peers.values()) {
    const waiting = survey.awaited.get(peer.place.site)
    if (waiting === undefined || peer.newsRate === 0 || !peer.isNear) continue
    if (nowMs - (peer.awaitedSinceMs ?? nowMs) < minLeaseMs) continue
    const needsMs = (1000 * waiting.bytes) / peer.newsRate
    if (needsMs <= slowestMs) continue
    slowest = waiting
    slowestMs = needsMs
  }
  for (const region of state.regions.values()) {
    const waiting = survey.awaitedRegions.get(region.region)
    if (waiting === undefined || region.newsRate === 0) continue
    if (nowMs - (region.awaitedSinceMs ?? nowMs) < minLeaseMs) continue
    const needsMs = (1000 * waiting.bytes) / region.newsRate
    if (needsMs <= slowestMs) continue
    slowest = waiting
    slowestMs = needsMs
  }
  if (slowest === undefined) return
  choose(state, slowest.last.page, slowest.last.segment, far, FARTHEST)
  issue(state, far, 'steal', nowMs, commands)
}

/** The last blocks, when one peer keeps them waiting: asked of a second near peer too. */
function endGame(
  state: SchedulerState,
  near: readonly Source[],
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  const isOver = [...state.pages.values()].every(({ segments }) => segments.every(({ open }) => open === 0))
  if (!isOver) return
  const budget = Math.max(END_GAME_MIN_BYTES, state.settings.snapshotBytes * END_GAME_SHARE)
  for (const request of [...state.requests.values()]) {
    if (nowMs - request.sentMs < END_GAME_AGE_MS) continue
    const page = state.pages.get(request.page)
    if (page === undefined) continue
    for (const offset of request.due) {
      const bytes = page.lengths[offset]!
      if (page.flights[offset] !== 1 || state.endGameBytes + bytes > budget) continue
      const other = near.find(
        ({ peer, room }) => peer !== request.peer && room > 0 && holds(peer, page.page, offset),
      )
      if (other === undefined) continue
      other.room -= bytes
      take(other, page, offset)
      state.endGameBytes += bytes
      startFlight(page, offset)
    }
  }
  issue(state, near, 'end-game', nowMs, commands)
}
