/** The whole state of one scheduler, and the changes that must keep its parts in step. */
import type { HoldingUpdate } from '../net/ports.ts'
import { BitSet } from './bit-set.ts'
import type { Candidate } from './rendezvous.ts'
import { assignOwners } from './rendezvous.ts'
import type { PageState } from './scheduler-page.ts'
import { changeFar, changeNear, endFlight, finishBlock, isDone } from './scheduler-page.ts'
import type { PeerState, Request } from './scheduler-peer.ts'
import { holds, recordHolding, recordNews } from './scheduler-peer.ts'
import type { RegionState } from './scheduler-region.ts'
import { regionOf } from './scheduler-region.ts'
import type { RequestReason, SchedulerCommand, SchedulerSettings } from './scheduler-types.ts'

export interface SchedulerState {
  readonly settings: SchedulerSettings
  readonly segmentBytes: number
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
  members: string
  membersVersion: number
  candidates: readonly Candidate[]
  /** By name: those that were heard of. */
  readonly regions: Map<string, RegionState>
  /** Regions that segments may enter by, and the version of that list. */
  entryRegions: string
  entriesVersion: number
  entryCandidates: readonly Candidate[]
  /** Sites of the origin's region, beside it, can pass on what they have of it. */
  hasRelays: boolean
  hasOrigin: boolean
  /** The last plan, and when time alone changes its answer. */
  plannedMs: number
  wakeMs: number
  endGameBytes: number
  duplicateBlocks: number
  /** What can be asked for now, as of the last plan: near copies and this site's share. */
  requestableBytes: number
  readonly requestedBlocks: Record<RequestReason, number>
}

export function createState(settings: SchedulerSettings, segmentBytes: number): SchedulerState {
  return {
    settings,
    segmentBytes,
    peers: new Map(),
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
    members: '',
    membersVersion: 0,
    candidates: [],
    regions: new Map(),
    entryRegions: '',
    entriesVersion: 0,
    entryCandidates: [],
    hasRelays: false,
    hasOrigin: false,
    plannedMs: Number.NEGATIVE_INFINITY,
    wakeMs: Number.POSITIVE_INFINITY,
    endGameBytes: 0,
    duplicateBlocks: 0,
    requestableBytes: 0,
    requestedBlocks: { near: 0, owner: 0, steal: 0, 'end-game': 0 },
  }
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
  const lacking = touchedBlocks(state, peer, update)
  if (update.kind === 'blocks' && state.donePages.has(update.page)) peer.hasAnswered = true
  else recordHolding(peer, update)
  let newsBytes = 0
  let firstBytes = 0
  for (const { page, offsets } of lacking) {
    for (const offset of offsets) {
      if (!holds(peer, page.page, offset)) continue
      const isFirst = isCounted(peer) && changeCopies(page, peer, offset, 1)
      newsBytes += page.lengths[offset]!
      if (isFirst) firstBytes += page.lengths[offset]!
    }
  }
  if (update.kind === 'unknown') return
  if (newsBytes > 0) {
    peer.usefulMs = nowMs
    peer.isHoarding = false
  }
  if (newsBytes === 0 && update.kind === 'blocks') newsBytes = update.offsets.length * state.meanBlockBytes
  recordNews(peer, newsBytes, nowMs)
  // Of a region counts what is new to it: its sites tell one after the other of the same blocks.
  if (!peer.isNear && firstBytes > 0)
    recordNews(regionOf(state.regions, peer.place.region, nowMs), firstBytes, nowMs)
}

/** Blocks of active pages that the update may tell of and the peer was not known to hold. */
function touchedBlocks(
  state: SchedulerState,
  peer: PeerState,
  update: HoldingUpdate,
): { page: PageState; offsets: readonly number[] }[] {
  const isNew = (page: PageState, offset: number): boolean =>
    offset < page.lengths.length && !holds(peer, page.page, offset)
  if (update.kind === 'unknown') return []
  if (update.kind === 'blocks') {
    const page = state.pages.get(update.page)
    // A block that is named twice counts once.
    return page === undefined
      ? []
      : [{ page, offsets: distinct(update.offsets).filter((offset) => isNew(page, offset)) }]
  }
  const pages =
    update.kind === 'complete'
      ? [...state.pages.values()]
      : [...new Set(update.full)].flatMap((number) => state.pages.get(number) ?? [])
  return pages.map((page) => ({
    page,
    offsets: [...page.lengths.keys()].filter((offset) => isNew(page, offset)),
  }))
}

/** Most updates name a few blocks: for those a set costs more than it saves. */
function distinct(offsets: readonly number[]): readonly number[] {
  if (offsets.length > 16) return [...new Set(offsets)]
  return offsets.filter((offset, at) => offsets.indexOf(offset) === at)
}

/** Ends a request: what it still owed is open again (unless another request has it). */
export function dropRequest(state: SchedulerState, request: Request): void {
  const page = state.pages.get(request.page)
  for (const offset of request.due) release(request, page, offset)
  request.due.clear()
  forgetRequest(state, request)
}

/** One block of a request is settled without having arrived. */
export function settleFailure(state: SchedulerState, request: Request, offset: number): void {
  if (!request.due.delete(offset)) return
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

/** Sites of this region that share the segments now: this one, and those that fetch, are reachable and keep their lease. */
export function updateMembers(state: SchedulerState, nowMs: number): void {
  const sites = new Set([state.settings.self.site])
  for (const peer of state.peers.values()) {
    if (!peer.isNear || !peer.wants || peer.isComplete || peer.isSilent || peer.isHoarding || peer.isStalled)
      continue
    if (peer.isConnected || nowMs < peer.graceUntilMs) sites.add(peer.place.site)
  }
  const sorted = [...sites].sort()
  const members = sorted.join(' ')
  if (members === state.members) return
  state.members = members
  state.membersVersion++
  state.candidates = sorted.map((site) => ({ site }))
}

/** Owner of each segment of a page under the present membership. */
export function ownersOf(state: SchedulerState, page: PageState): readonly string[] {
  if (page.ownersVersion !== state.membersVersion) {
    const sizes = page.segments.map(({ sizeBytes }) => sizeBytes)
    page.owners = assignOwners(page.key, sizes, state.candidates)
    page.ownersVersion = state.membersVersion
  }
  return page.owners
}

export function cancelRequest(state: SchedulerState, request: Request, commands: SchedulerCommand[]): void {
  dropRequest(state, request)
  commands.push({ kind: 'cancel', request: request.id })
}
