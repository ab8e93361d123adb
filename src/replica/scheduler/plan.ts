/**
 * Chooses what to ask of whom. Tiers first: what a near peer holds is asked only of near peers; what none holds, and
 * is this site's share, of far ones, of the nearest tier that has it and only of those that are open to this site; the
 * rest is waited for, as long as its owner, or the region that it enters by, keeps its lease.
 *
 * A plan is made for every batch of events: it costs as much as there are peers and pages, and looks at segments and blocks
 * only where somebody with room may have one of them (`freshSources`).
 */

import type { Source, Sources } from './choose.ts'
import {
  choose,
  freshSources,
  hasRoom,
  isIdle,
  issue,
  noteSpent,
  sourcesOf,
  take,
  viewsOf,
} from './choose.ts'
import type { PageState } from './page.ts'
import { isHeldFar, segmentAt, startFlight } from './page.ts'
import { holds, type PeerState } from './peer.ts'
import { entriesOf, ownersOf, updateRoster } from './roster.ts'
import type { SchedulerState } from './state.ts'
import { steal } from './steal.ts'
import { SURVEY_INTERVAL_MS, survey } from './survey.ts'
import { awaitedRegion, NEAR, openTier, tierFor } from './tiers.ts'
import type { SchedulerCommand } from './types.ts'

/** In the end game a request this old is asked of a second near peer. */
const END_GAME_AGE_MS = 1000
/** Of the shortest, by the clock: a peer that has not answered for so long may have stopped. */
const LATE_LEASES = 2
/** Duplicates that the end game may cost, as a share of the snapshot. */
const END_GAME_SHARE = 0.005
const END_GAME_MIN_BYTES = 1024 * 1024

/** Appends requests; returns the next instant at which time alone changes the answer. */
export function plan(state: SchedulerState, nowMs: number, commands: SchedulerCommand[]): number {
  const wakeMs = nowMs + 1000
  const { near, far } = sourcesOf(state, nowMs)
  askNear(state, near, nowMs, commands)
  if (state.hasAllPages) endGame(state, { near, far }, nowMs, commands)
  let readyBytes = 0
  for (const page of state.pages.values()) readyBytes += page.readyBytes

  const openMs = farOpensAtMs(state)
  if (openMs > nowMs) {
    state.requestableBytes = readyBytes
    return Math.min(wakeMs, openMs)
  }
  const isOther = updateRoster(state, nowMs)
  askOwn(state, far, nowMs, commands)
  if (isOther || state.isSurveyDue || nowMs >= Math.min(nextSurveyMs(state), state.survey.wakeMs)) {
    lookAround(state, far, nowMs)
    if (state.survey.hasLapsed) {
      updateRoster(state, nowMs)
      askOwn(state, far, nowMs, commands)
      lookAround(state, far, nowMs)
    }
  }
  steal(state, far, nowMs, commands)
  state.requestableBytes = readyBytes + state.ownBytes
  // What has changed since the last look is seen at the next.
  const lookMs = state.surveyedMs === nowMs ? state.survey.wakeMs : nextSurveyMs(state)
  return Math.min(wakeMs, lookMs, state.rosterUntilMs)
}

function nextSurveyMs(state: SchedulerState): number {
  return state.surveyedMs + SURVEY_INTERVAL_MS
}

function lookAround(state: SchedulerState, far: readonly Source[], nowMs: number): void {
  state.survey = survey(state, isIdle(far), nowMs)
  state.surveyedMs = nowMs
  state.isSurveyDue = false
  state.ownBytes = state.survey.ownBytes
  if (state.survey.hasLapsed) state.isRosterStale = true
}

function askNear(
  state: SchedulerState,
  near: readonly Source[],
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  const fresh = freshSources(state, near)
  if (fresh.length === 0) return
  for (const page of state.pages.values()) {
    if (page.ready === 0) continue
    const views = viewsOf(fresh, page.page)
    if (views.length === 0) continue
    for (const segment of page.segments)
      if (segment.ready > 0 && !choose(state, page, segment, views, NEAR)) break
    if (!hasRoom(fresh)) break
  }
  noteSpent(state, fresh)
  issue(state, near, 'near', nowMs, commands)
}

/** This site's share, as far as it can be had now. */
function askOwn(
  state: SchedulerState,
  far: readonly Source[],
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  const fresh = freshSources(state, far)
  if (fresh.length === 0) return
  for (const page of state.pages.values()) {
    if (page.open === page.ready) continue
    ownersOf(state, page)
    const views = viewsOf(fresh, page.page)
    if (page.own.length === 0 || views.length === 0) continue
    const entries = entriesOf(state, page)
    for (const segment of page.own) {
      if (segment.open === segment.ready) continue
      const entry = entries[segment.index]
      const maxTier = openTier(state, entry)
      if (!isHeldFar(segment, maxTier) || awaitedRegion(state, segment, entry) !== undefined) continue
      if (!choose(state, page, segment, views, maxTier)) break
    }
    if (!hasRoom(fresh)) break
  }
  noteSpent(state, fresh)
  state.ownBytes = Math.max(0, state.ownBytes - issue(state, far, 'owner', nowMs, commands))
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

/**
 * The last blocks, when one peer keeps them waiting: asked of a second near peer too. Where that peer answers nothing at all, what
 * no other neighbour has and is this site's share is asked of a far one: it may have stopped for good, and own time be long in telling.
 */
function endGame(
  state: SchedulerState,
  { near, far }: Sources,
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  for (const { open } of state.pages.values()) if (open > 0) return
  const budget = Math.max(END_GAME_MIN_BYTES, state.settings.snapshotBytes * END_GAME_SHARE)
  for (const request of [...state.requests.values()]) {
    const isLate = state.time.clockMs - request.peer.answerClockMs >= LATE_LEASES * state.settings.minLeaseMs
    if (nowMs - request.sentMs < END_GAME_AGE_MS && !isLate) continue
    const page = state.pages.get(request.page)
    if (page === undefined) continue
    for (const offset of request.due) {
      const bytes = page.lengths[offset]!
      if (page.flights[offset] !== 1 || state.endGameBytes + bytes > budget) continue
      const other =
        near.find(({ peer, room }) => peer !== request.peer && room > 0 && holds(peer, page.page, offset)) ??
        (isLate ? farSourceOf(state, far, page, offset, request.peer) : undefined)
      if (other === undefined) continue
      other.room -= bytes
      take(other, page, offset)
      state.endGameBytes += bytes
      startFlight(page, offset)
    }
  }
  issue(state, near, 'end-game', nowMs, commands)
  issue(state, far, 'end-game', nowMs, commands)
}

/** Whom the owner of a block's segment would ask for it in the place of `late`, if nobody else in the region has it. */
function farSourceOf(
  state: SchedulerState,
  far: readonly Source[],
  page: PageState,
  offset: number,
  late: PeerState,
): Source | undefined {
  if (page.near[offset]! > (late.isNear ? 1 : 0)) return undefined
  const segment = segmentAt(page, offset)
  if (ownersOf(state, page)[segment.index] !== state.settings.self.site) return undefined
  const tier = tierFor(state, page, offset, openTier(state, entriesOf(state, page)[segment.index]))
  if (tier === NEAR) return undefined
  return far.find(
    ({ peer, room }) => peer !== late && peer.tier === tier && room > 0 && holds(peer, page.page, offset),
  )
}
