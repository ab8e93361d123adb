/**
 * Decides which blocks of one snapshot are asked of which peer, and when. A pure state machine: events and the time go
 * in, commands come out; no I/O, no clock, no randomness. The daemon and the simulator run this same code.
 *
 * Invariants:
 * - A block that a reachable member of this region holds is never asked for over the WAN.
 * - What no member of the region holds is asked for over the WAN by its owner alone, as long as that one makes progress.
 *   Views of the region may differ for a while: that costs duplicates within one pipeline, never an error.
 * - A block is in at most one request, except in the end game within the region (0.5 % of the bytes at most).
 * - Memory follows the active pages (bounded) plus one bit a page and peer.
 * docs/replication.md tells the whole story.
 */

import { explain } from './explain.ts'
import { createPage, isDone, isOpen, release, releaseToFar, withhold, withholdFromFar } from './page.ts'
import type { PeerState } from './peer.ts'
import {
  backOff,
  backOffSlow,
  createPeer,
  FIRST_STALL_BACKOFF_MS,
  holds,
  isTooSlow,
  recordAnswer,
  recordLack,
  stallMs,
} from './peer.ts'
import { plan } from './plan.ts'
import { segmentTargetBytes } from './segments.ts'
import type { SchedulerState } from './state.ts'
import {
  applyHolding,
  cancelRequest,
  changeCopies,
  changePeer,
  countCopies,
  createState,
  isCounted,
  settleArrival,
  settleFailure,
} from './state.ts'
import { tierOf } from './tiers.ts'
import { advanceTime, clockMsOf, ownMs, startTime } from './time.ts'
import type { BlockState, Explanation, SchedulerCommand, SchedulerEvent, SchedulerOptions } from './types.ts'
import { settingsOf } from './types.ts'

/** News of many peers arrive all the time: while something is on its way, they are acted on this often. */
const PLAN_INTERVAL_MS = 10
/** Patience is of seconds: whose is at an end is looked at this often, and when the next one's is known to be. */
const TIMERS_INTERVAL_MS = 25
/** Pages are read ahead until this much could be asked for. */
const MIN_REQUESTABLE_BYTES = 16 * 1024 * 1024
const FIRST_BUSY_BACKOFF_MS = 100
/** A slow neighbour is looked at over this many of the shortest leases. */
const SLOW_LEASES = 4
/** A peer that comes and goes is waited for once in this time. */
const MIN_GRACE_INTERVAL_MS = 30_000

export interface Scheduler {
  /**
   * Takes events in order and returns what to do, in order.
   * @param heldUpMs how long this node has been held up in all its life, and heard nothing: it does not hold that time
   *   against its peers
   */
  handle(events: readonly SchedulerEvent[], clockMs: number, heldUpMs?: number): SchedulerCommand[]
  /** More pages of the index should be read and given. */
  wantsPages(): boolean
  /** Undefined when the page is not active. */
  stateOf(page: number, offset: number): BlockState | undefined
  explain(clockMs: number): Explanation
  /** Nothing is fetched any more: the node's other fetches may use its share of the paths. */
  close(): void
}

export function createScheduler(options: SchedulerOptions): Scheduler {
  const settings = settingsOf(options)
  const state = createState(settings, segmentTargetBytes(options.snapshotBytes))
  let isStarted = false
  return {
    handle(events, clockMs, heldUpMs = 0) {
      const commands: SchedulerCommand[] = []
      state.time = isStarted ? advanceTime(state.time, clockMs, heldUpMs) : startTime(clockMs, heldUpMs)
      isStarted = true
      const nowMs = ownMs(state.time)
      for (const event of events) take(state, event, nowMs, commands)
      if (state.isComplete) return commands
      const soonMs = state.plannedClockMs + PLAN_INTERVAL_MS
      if (clockMs < soonMs && state.requests.size > 0 && events.every(({ kind }) => kind === 'holding')) {
        commands.push({ kind: 'wake', atMs: Math.min(clockMsOf(state.time, state.wakeMs), soonMs) })
        return commands
      }
      state.plannedClockMs = clockMs
      const lookMs = state.timersRunMs + TIMERS_INTERVAL_MS
      const isLooking = nowMs >= Math.min(state.timersMs, lookMs)
      if (isLooking) {
        state.timersMs = runTimers(state, nowMs, commands)
        state.timersRunMs = nowMs
      }
      const plannedMs = plan(state, nowMs, commands)
      finishPages(state, commands)
      // What has changed since the last look may have brought a new time.
      state.wakeMs = Math.min(state.timersMs, isLooking ? plannedMs : Math.min(lookMs, plannedMs))
      if (!state.isComplete) commands.push({ kind: 'wake', atMs: clockMsOf(state.time, state.wakeMs) })
      return commands
    },
    wantsPages() {
      if (state.hasAllPages || state.pages.size >= settings.maxActivePages) return false
      let pipelines = 0
      for (const peer of state.peers.values()) pipelines += 2 * state.share.limitBytes(peer.peer)
      return state.pages.size < 2 || state.requestableBytes < Math.max(MIN_REQUESTABLE_BYTES, pipelines)
    },
    stateOf(number, offset) {
      const page = state.pages.get(number)
      if (page === undefined) return undefined
      return isDone(page, offset) ? 'stored' : isOpen(page, offset) ? 'open' : 'asked'
    },
    close: () => state.share.leave(),
    explain: (clockMs) => explain(state, ownMs(advanceTime(state.time, clockMs, state.time.heldUpMs))),
  }
}

function take(
  state: SchedulerState,
  event: SchedulerEvent,
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  if (event.kind === 'peer') {
    takePeer(state, event, nowMs, commands)
  } else if (event.kind === 'peer-left') {
    dropPeer(state, event.peer, commands)
  } else if (event.kind === 'holding') {
    const peer = state.peers.get(event.peer)
    if (peer !== undefined) applyHolding(state, peer, event.update, nowMs)
  } else if (event.kind === 'page') {
    const page = createPage(event.page, event.key, event.lengths, event.has, state.segmentBytes)
    const bytes = event.lengths.reduce((sum, length) => sum + length, 0)
    state.meanBlockBytes = bytes / Math.max(1, event.lengths.length)
    state.pages.set(event.page, page)
    for (const offset of event.withheld ?? []) withhold(page, offset)
    for (const offset of event.withheldFromFar ?? []) withholdFromFar(page, offset)
    for (const peer of state.peers.values()) if (isCounted(peer)) countCopies(page, peer, 1)
    state.changes++
    state.isSurveyDue = true
  } else if (event.kind === 'pages-end') {
    state.hasAllPages = true
  } else if (event.kind === 'received') {
    const request = state.requests.get(event.request)
    if (request !== undefined) {
      const bytes = state.pages.get(event.page)?.lengths[event.offset] ?? 0
      const { peer } = request.peer
      const { clockMs } = state.time
      const { handledMs = 0 } = event
      if (!request.hasAnswer)
        state.share.answered(peer, Math.max(1, clockMs - request.sentClockMs - handledMs))
      state.share.handled(handledMs)
      request.hasAnswer = true
      state.share.arrived(peer, bytes, clockMs)
      recordAnswer(request.peer, bytes, nowMs, clockMs)
      if (!request.peer.isNear) state.farAnswerMs = nowMs
    }
    for (const useless of settleArrival(state, request, event.page, event.offset))
      cancelRequest(state, useless, commands)
  } else if (event.kind === 'failed') {
    takeFailure(state, event, nowMs, commands)
  } else if (event.kind !== 'tick') {
    takeMade(state, event, commands)
  }
  // Nothing else can make a page full, and most events are of other kinds.
  if (event.kind === 'pages-end' || (isOfPage(event) && state.pages.get(event.page)?.missing === 0))
    finishPages(state, commands)
}

function isOfPage(
  event: SchedulerEvent,
): event is Extract<SchedulerEvent, { kind: 'received' | 'made' | 'page' }> {
  return event.kind === 'received' || event.kind === 'made' || event.kind === 'page'
}

/** What is made here of something else, or was to be. */
function takeMade(
  state: SchedulerState,
  event: Extract<SchedulerEvent, { kind: 'made' | 'withhold' | 'release' }>,
  commands: SchedulerCommand[],
): void {
  const page = state.pages.get(event.page)
  if (page === undefined) return
  const isOfAll = event.kind === 'made' || event.from === undefined
  for (const offset of event.offsets) {
    if (event.kind === 'withhold') (isOfAll ? withhold : withholdFromFar)(page, offset)
    else if (event.kind === 'release') (isOfAll ? release : releaseToFar)(page, offset)
    else if (!isDone(page, offset))
      for (const useless of settleArrival(state, undefined, event.page, offset))
        cancelRequest(state, useless, commands)
  }
  state.changes++
  state.isSurveyDue = true
}

function takePeer(
  state: SchedulerState,
  event: Extract<SchedulerEvent, { kind: 'peer' }>,
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  if (state.blamed.has(event.peer)) return
  state.isRosterStale = true
  state.changes++
  const known = state.peers.get(event.peer)
  if (
    known === undefined ||
    known.place.region !== event.place.region ||
    known.place.site !== event.place.site
  ) {
    dropPeer(state, event.peer, commands)
    const graceUntilMs = grantGrace(state, event.peer, nowMs)
    state.peers.set(event.peer, createPeer(tierOf(state.settings, event.place), event, graceUntilMs, nowMs))
    return
  }
  known.wants = event.wants
  known.wantsMore = event.wantsMore === true
  if (known.isConnected === event.isConnected) return
  if (event.isConnected) {
    // A new connection may lead to a restarted node, which tells anew what it holds.
    known.hasAnswered = false
    known.graceUntilMs = grantGrace(state, event.peer, nowMs)
    if (known.graceUntilMs > nowMs) known.newsMs = nowMs
  }
  changePeer(state, known, () => {
    known.isConnected = event.isConnected
  })
  if (!event.isConnected)
    for (const request of [...known.requests.values()]) cancelRequest(state, request, commands)
}

function grantGrace(state: SchedulerState, peer: string, nowMs: number): number {
  const lastMs = state.gracesMs.get(peer) ?? Number.NEGATIVE_INFINITY
  if (nowMs - lastMs > MIN_GRACE_INTERVAL_MS) state.gracesMs.set(peer, nowMs)
  return state.gracesMs.get(peer)! + state.settings.graceMs
}

function dropPeer(state: SchedulerState, peerId: string, commands: SchedulerCommand[]): void {
  const peer = state.peers.get(peerId)
  if (peer === undefined) return
  for (const request of [...peer.requests.values()]) cancelRequest(state, request, commands)
  changePeer(state, peer, () => {
    peer.isConnected = false
  })
  state.peers.delete(peerId)
  state.isRosterStale = true
}

function takeFailure(
  state: SchedulerState,
  event: Extract<SchedulerEvent, { kind: 'failed' }>,
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  const request = state.requests.get(event.request)
  if (request === undefined || !request.due.has(event.offset)) return
  const { peer } = request
  settleFailure(state, request, event.offset)
  if (event.reason === 'corrupt') {
    state.blamed.add(peer.peer)
    commands.push({ kind: 'blame', peer: peer.peer, page: event.page, offset: event.offset })
    dropPeer(state, peer.peer, commands)
  } else if (event.reason === 'missing') {
    const page = state.pages.get(event.page)
    if (page !== undefined && isCounted(peer) && holds(peer, event.page, event.offset))
      changeCopies(page, peer, event.offset, -1)
    state.changes++
    recordLack(peer, event.page, event.offset)
    peer.answerMs = nowMs
  } else if (nowMs >= peer.backoffUntilMs) {
    backOff(peer, nowMs, event.reason === 'busy' ? FIRST_BUSY_BACKOFF_MS : FIRST_STALL_BACKOFF_MS / 4)
  }
}

/** Peers that keep their requests waiting lose them; those whose back-off is over may try again. */
function runTimers(state: SchedulerState, nowMs: number, commands: SchedulerCommand[]): number {
  let wakeMs = Number.POSITIVE_INFINITY
  let farSources = 0
  for (const { isNear, isConnected } of state.peers.values()) if (!isNear && isConnected) farSources++
  const slowPeriodMs = SLOW_LEASES * state.settings.minLeaseMs
  for (const peer of state.peers.values()) {
    // What a neighbour holds is asked of neighbours only, so one that drips would hold up the whole fetch.
    if (
      peer.isNear &&
      peer.requests.size > 0 &&
      isTooSlow(peer, slowPeriodMs, nowMs) &&
      hasOther(state, peer)
    ) {
      for (const request of [...peer.requests.values()]) cancelRequest(state, request, commands)
      backOffSlow(peer, nowMs)
      changePeer(state, peer, () => {
        peer.isStalled = true
      })
    }
    if (peer.requests.size > 0) {
      // The only way out of the region gets more patience: asking it again would only send the same blocks twice.
      const patience = !peer.isNear && farSources === 1 ? 4 : 1
      const endsMs = peer.answerMs + patience * stallMs(peer, state)
      if (nowMs >= endsMs) {
        for (const request of [...peer.requests.values()]) cancelRequest(state, request, commands)
        backOff(peer, nowMs, FIRST_STALL_BACKOFF_MS)
        changePeer(state, peer, () => {
          peer.isStalled = true
        })
      } else wakeMs = Math.min(wakeMs, endsMs)
    }
    if (nowMs < peer.backoffUntilMs) wakeMs = Math.min(wakeMs, peer.backoffUntilMs)
    else if (peer.isStalled)
      changePeer(state, peer, () => {
        peer.isStalled = false
      })
  }
  return wakeMs
}

/** Somebody else, who holds something and is in use. */
function hasOther(state: SchedulerState, peer: PeerState): boolean {
  return [...state.peers.values()].some(
    (other) =>
      other !== peer &&
      other.isConnected &&
      !other.isStalled &&
      (other.isComplete || other.fullPages.size > 0),
  )
}

function finishPages(state: SchedulerState, commands: SchedulerCommand[]): void {
  for (const page of state.pages.values()) {
    if (page.missing > 0) continue
    for (const request of [...state.requests.values()])
      if (request.page === page.page) cancelRequest(state, request, commands)
    state.pages.delete(page.page)
    state.donePages.add(page.page)
    for (const peer of state.peers.values()) {
      peer.partial.delete(page.page)
      peer.lacks.delete(page.page)
    }
    commands.push({ kind: 'page-complete', page: page.page })
  }
  if (!state.hasAllPages || state.pages.size > 0 || state.isComplete) return
  state.isComplete = true
  commands.push({ kind: 'complete' })
}
