/** The whole state of one scheduler, and the changes that must keep its parts in step. */
import type { HoldingUpdate } from '../../net/ports.ts'
import { BitSet } from '../bit-set.ts'
import type { PageState, SegmentState } from './page.ts'
import { changeFar, changeNear, endFlight, finishBlock, isDone } from './page.ts'
import type { PathShare } from './path-shares.ts'
import type { PeerState, Request } from './peer.ts'
import { holds, recordBlocks, recordFull, recordNews } from './peer.ts'
import type { RegionState } from './region.ts'
import { regionOf } from './region.ts'
import type { Candidate } from './rendezvous.ts'
import { type OwnTime, startTime } from './time.ts'
import type { RequestReason, SchedulerCommand, SchedulerSettings } from './types.ts'

/** Segments that wait for one near owner, or for one region. */
export interface Awaited {
  bytes: number
  /** Of those that this site may take instead. */
  last: { readonly page: PageState; readonly segment: SegmentState } | undefined
}

/** A look at all segments (scheduler/survey.ts). */
export interface Survey {
  /** Open bytes of this site's own share that can be had now. */
  readonly ownBytes: number
  /** By near owner. */
  readonly awaited: ReadonlyMap<string, Awaited>
  /** By the region that could have taken it by now; of `last`, this site's own share. */
  readonly awaitedRegions: ReadonlyMap<string, Awaited>
  /** A lease has ended: shares are other ones now. */
  readonly hasLapsed: boolean
  /** When the next lease ends, if nothing happens. */
  readonly wakeMs: number
}

const NO_SURVEY: Survey = {
  ownBytes: 0,
  awaited: new Map(),
  awaitedRegions: new Map(),
  hasLapsed: false,
  wakeMs: Number.POSITIVE_INFINITY,
}

export interface SchedulerState {
  readonly settings: SchedulerSettings
  readonly segmentBytes: number
  /** All times of this state are in the node's own time, but where they say that they are the clock's. */
  time: OwnTime
  /** How much may be in flight over each path, beside the node's other fetches. */
  readonly share: PathShare
  readonly peers: Map<string, PeerState>
  /** Peers that sent wrong bytes: never used again in this fetch. */
  readonly blamed: Set<string>
  /** When each peer last began its grace: one that comes and goes does not hold up the others. */
  readonly gracesMs: Map<string, number>
  /** Active pages in order. */
  readonly pages: Map<number, PageState>
  readonly donePages: BitSet
  readonly requests: Map<number, Request>
  nextRequest: number
  hasAllPages: boolean
  isComplete: boolean
  meanBlockBytes: number
  /** Last answer over the WAN: a link that stands still is no fault of the other owners. */
  farAnswerMs: number
  /** Counts what may make more of the blocks that peers have open to this site: `PeerState.spentAt` refers to it. */
  changes: number
  /** Owners and entry regions are to be worked out again: now, or when somebody's grace ends. */
  isRosterStale: boolean
  rosterUntilMs: number
  /** The last look at all segments, what is due of this site's share since, and whether it must be made anew. */
  survey: Survey
  surveyedMs: number
  isSurveyDue: boolean
  ownBytes: number
  members: string
  membersVersion: number
  candidates: readonly Candidate[]
  /** By name: those that were heard of. */
  readonly regions: Map<string, RegionState>
  /** Regions that segments may enter by, and the version of that list. */
  entryRegions: string
  entriesVersion: number
  entryCandidates: readonly Candidate[]
  /** Sites of the origin's region, beside it, can pass on what they have of it, about as fast as it sends. */
  hasRelays: boolean
  hasOrigin: boolean
  /** The origin is there, and the other sites of its region are too slow for that. */
  hasSlowRelays: boolean
  /** The last plan, by the clock, and when time alone changes its answer. */
  plannedClockMs: number
  /** When patience with the peers was last looked at, and when the next one's ends. */
  timersRunMs: number
  timersMs: number
  wakeMs: number
  endGameBytes: number
  duplicateBlocks: number
  /** What can be asked for now, as of the last plan: near copies and this site's share. */
  requestableBytes: number
  readonly requestedBlocks: Record<RequestReason, number>
}

export function createState(settings: SchedulerSettings, segmentBytes: number): SchedulerState {
  const peers = new Map<string, PeerState>()
  const state: SchedulerState = {
    settings,
    segmentBytes,
    time: startTime(Number.NEGATIVE_INFINITY, 0),
    share: settings.paths.join(
      {
        inFlightBytes: (peer) => peers.get(peer)?.inFlightBytes ?? 0,
        wantsMore: (peer) => mayAskMore(state, peers.get(peer)),
      },
      settings,
      settings.pathWeight,
    ),
    peers,
    blamed: new Set(),
    gracesMs: new Map(),
    pages: new Map(),
    donePages: new BitSet(),
    requests: new Map(),
    nextRequest: 1,
    hasAllPages: false,
    isComplete: false,
    meanBlockBytes: 64 * 1024,
    farAnswerMs: Number.NEGATIVE_INFINITY,
    changes: 0,
    isRosterStale: true,
    rosterUntilMs: Number.POSITIVE_INFINITY,
    survey: NO_SURVEY,
    surveyedMs: Number.NEGATIVE_INFINITY,
    isSurveyDue: true,
    ownBytes: 0,
    members: '',
    membersVersion: 0,
    candidates: [],
    regions: new Map(),
    entryRegions: '',
    entriesVersion: 0,
    entryCandidates: [],
    hasRelays: false,
    hasOrigin: false,
    hasSlowRelays: false,
    timersRunMs: Number.NEGATIVE_INFINITY,
    timersMs: Number.NEGATIVE_INFINITY,
    plannedClockMs: Number.NEGATIVE_INFINITY,
    wakeMs: Number.POSITIVE_INFINITY,
    endGameBytes: 0,
    duplicateBlocks: 0,
    requestableBytes: 0,
    requestedBlocks: { near: 0, owner: 0, steal: 0, 'end-game': 0 },
  }
  return state
}

/** Whether the peer has something that is open, as far as is known. */
function mayAskMore(state: SchedulerState, peer: PeerState | undefined): boolean {
  return peer !== undefined && !state.isComplete && isCounted(peer) && peer.spentAt !== state.changes
}

/** Its copies are counted. */
export function isCounted(peer: PeerState): boolean {
  return peer.isConnected && !peer.isStalled
}

/** Runs `change` on a peer, and keeps the counts of copies right if the peer starts or ceases to count. */
export function changePeer(state: SchedulerState, peer: PeerState, change: () => void): void {
  const before = isCounted(peer)
  change()
  const after = isCounted(peer)
  if (before === after) return
  state.isRosterStale = true
  state.changes++
  for (const page of state.pages.values()) countCopies(page, peer, after ? 1 : -1)
}

export function countCopies(page: PageState, peer: PeerState, change: 1 | -1): void {
  for (let offset = 0; offset < page.lengths.length; offset++) {
    if (holds(peer, page.page, offset)) changeCopies(page, peer, offset, change)
  }
}

/** One more or one less of the peers of its tier has the block. True when this is the tier's first copy. */
export function changeCopies(page: PageState, peer: PeerState, offset: number, change: 1 | -1): boolean {
  if (!peer.isNear) return changeFar(page, peer.tier, offset, change)
  changeNear(page, offset, change)
  return change > 0
}

/** Takes in what a peer told of its holdings. */
export function applyHolding(
  state: SchedulerState,
  peer: PeerState,
  update: HoldingUpdate,
  nowMs: number,
): void {
  peer.hasAnswered = true
  if (update.kind === 'unknown') return
  const news = { bytes: 0, firstBytes: 0 }
  if (update.kind === 'blocks') {
    if (!state.donePages.has(update.page)) {
      const added = recordBlocks(peer, update.page, update.offsets)
      const page = state.pages.get(update.page)
      if (page !== undefined) countNews(page, peer, added, news)
    }
  } else {
    const pages =
      update.kind === 'complete'
        ? [...state.pages.values()]
        : [...new Set(update.full)].flatMap((number) => state.pages.get(number) ?? [])
    const lacking = pages.map((page) => ({
      page,
      offsets: [...page.lengths.keys()].filter((offset) => !holds(peer, page.page, offset)),
    }))
    if (update.kind === 'complete' && !peer.isComplete) state.isRosterStale = true
    recordFull(peer, update.kind === 'complete' ? 'all' : update.full)
    for (const { page, offsets } of lacking)
      countNews(
        page,
        peer,
        offsets.filter((offset) => holds(peer, page.page, offset)),
        news,
      )
  }
  if (news.bytes > 0) {
    peer.spentAt = -1
    peer.usefulMs = nowMs
    if (peer.isHoarding) state.isRosterStale = true
    peer.isHoarding = false
  } else if (update.kind === 'blocks') news.bytes = update.offsets.length * state.meanBlockBytes
  if (recordNews(peer, news.bytes, nowMs, state.time.clockMs)) state.isRosterStale = true
  // Of a region counts what is new to it: its sites tell one after the other of the same blocks.
  if (peer.isNear || news.firstBytes === 0) return
  const region = regionOf(state.regions, peer.place.region, nowMs)
  if (recordNews(region, news.firstBytes, nowMs, state.time.clockMs)) state.isRosterStale = true
}

/** Counts blocks that the peer has and was not known to have. */
function countNews(
  page: PageState,
  peer: PeerState,
  offsets: readonly number[],
  news: { bytes: number; firstBytes: number },
): void {
  const isCounting = isCounted(peer)
  for (const offset of offsets) {
    const bytes = page.lengths[offset]
    if (bytes === undefined) continue
    news.bytes += bytes
    if (isCounting && changeCopies(page, peer, offset, 1)) news.firstBytes += bytes
  }
}

/** Ends a request: what it still owed is open again (unless another request has it). */
export function dropRequest(state: SchedulerState, request: Request): void {
  const page = state.pages.get(request.page)
  if (request.due.size > 0) state.changes++
  for (const offset of request.due) release(request, page, offset)
  request.due.clear()
  forgetRequest(state, request)
}

/** One block of a request is settled without having arrived. */
export function settleFailure(state: SchedulerState, request: Request, offset: number): void {
  if (!request.due.delete(offset)) return
  state.changes++
  release(request, state.pages.get(request.page), offset)
  if (request.due.size === 0) forgetRequest(state, request)
}

/** One block of a request is stored. Returns requests that now ask only for what is here. */
export function settleArrival(
  state: SchedulerState,
  request: Request | undefined,
  pageNumber: number,
  offset: number,
): Request[] {
  const page = state.pages.get(pageNumber)
  if (request?.due.delete(offset)) {
    request.peer.inFlightBytes -= page?.lengths[offset] ?? 0
    request.peer.inFlightBlocks--
    if (request.due.size === 0) forgetRequest(state, request)
  }
  if (page === undefined) {
    state.duplicateBlocks++
    return []
  }
  const wasShared = page.flights[offset]! > 1
  if (!finishBlock(page, offset)) state.duplicateBlocks++
  if (!wasShared) return []
  return [...state.requests.values()].filter(
    (other) =>
      other.page === pageNumber && other.due.has(offset) && [...other.due].every((due) => isDone(page, due)),
  )
}

function release(request: Request, page: PageState | undefined, offset: number): void {
  request.peer.inFlightBytes -= page?.lengths[offset] ?? 0
  request.peer.inFlightBlocks--
  if (page !== undefined) endFlight(page, offset)
  if (request.peer.inFlightBlocks === 0) request.peer.inFlightBytes = 0
}

function forgetRequest(state: SchedulerState, request: Request): void {
  state.requests.delete(request.id)
  request.peer.requests.delete(request.id)
  // A page that is done takes its lengths with it: an idle peer owes nothing whatever was counted.
  if (request.peer.requests.size === 0) {
    request.peer.inFlightBytes = 0
    request.peer.inFlightBlocks = 0
  }
}

export function cancelRequest(state: SchedulerState, request: Request, commands: SchedulerCommand[]): void {
  dropRequest(state, request)
  commands.push({ kind: 'cancel', request: request.id })
}
