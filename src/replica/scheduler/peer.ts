/**
 * The scheduler's view of one peer: what it holds, how fast it delivers, how much may be asked of it at a time, and
 * whether it keeps its lease.
 */
import type { Place } from '../../topology/path-class.ts'
import { BitSet } from '../bit-set.ts'
import type { RequestReason } from './types.ts'

/** Bitmaps of pages that are in progress at a peer; more are forgotten until the peer says the page is full. */
const MAX_PARTIAL_PAGES = 512
/** Numbers over these are nonsense (16 million pages are over 1 PB): a set must not grow to hold them. */
const MAX_PAGE = 1 << 24
const MAX_OFFSET = 1 << 16
/** Assumed until something was measured: a slow link and a slow neighbour. */
const UNKNOWN_FAR_RATE = 128 * 1024
const UNKNOWN_NEAR_RATE = 4 * 1024 * 1024
/** Of a peer that left its requests without an answer; twice as long each time. */
export const FIRST_STALL_BACKOFF_MS = 2000
const MAX_BACKOFF_MS = 30_000
/** A near peer that is asked all the time and stays below both for so long keeps the others waiting. */
const SLOW_BYTES_PER_SECOND = 32 * 1024
const SLOW_BLOCKS_PER_SECOND = 16
const FIRST_SLOW_BACKOFF_MS = 8000

export interface Request {
  readonly id: number
  readonly peer: PeerState
  readonly page: number
  readonly due: Set<number>
  readonly sentMs: number
  /** By the clock; `sentMs` is in own time. */
  readonly sentClockMs: number
  readonly bytes: number
  readonly reason: RequestReason
  hasAnswer: boolean
}

export interface PeerState {
  readonly peer: string
  readonly place: Place
  /** 0 for the near peers, which are always asked before any other; 1 to 3 for the others (scheduler/tiers.ts). */
  readonly tier: number
  readonly isNear: boolean
  wants: boolean
  wantsMore: boolean
  isConnected: boolean
  /** It was asked what it holds, and answered. */
  hasAnswered: boolean
  /** WAN requests wait for its answer until then. */
  graceUntilMs: number
  isComplete: boolean
  readonly fullPages: BitSet
  readonly partial: Map<number, BitSet>
  /** Blocks that it turned out not to hold, whatever it said: by page. */
  readonly lacks: Map<number, BitSet>
  /** Last time it told of new blocks; what its lease rests on. */
  newsMs: number
  /** Between such times, while it is waited for: rises at once with a long one, and falls slowly. */
  newsGapMs: number
  /** Since when this site waits for something that the peer owns; undefined while it waits for nothing. */
  awaitedSinceMs: number | undefined
  /** It lost its lease, and its share with it. */
  isSilent: boolean
  /** Last time it told of a block that this site still waited for. */
  usefulMs: number
  /** It talked on and on, and of nothing that is waited for: it has no share until it does. */
  isHoarding: boolean
  /** Bytes that it announced, smoothed. */
  newsRate: number
  newsBytes: number
  newsWindowMs: number
  readonly requests: Map<number, Request>
  /** It was asked for all that it has and that is open, and of the whole state nothing relevant has changed since. */
  spentAt: number
  inFlightBytes: number
  inFlightBlocks: number
  answerMs: number
  /** The same by the clock. */
  answerClockMs: number
  /** Between answers, in the same way. */
  answerGapMs: number
  /** Bytes a second that it delivers, smoothed; 0 until measured. */
  rate: number
  rateBytes: number
  rateWindowMs: number
  /** Since when it has had something to deliver, and what it delivered since. */
  busySinceMs: number
  busyBytes: number
  busyBlocks: number
  /** Of its last pause for being slow; an answer now and then does not end these. */
  slowBackoffMs: number
  backoffMs: number
  backoffUntilMs: number
  /** It promised and did not deliver: no source until its back-off ends. */
  isStalled: boolean
}

export function createPeer(
  tier: number,
  event: { peer: string; place: Place; wants: boolean; wantsMore?: boolean; isConnected: boolean },
  graceUntilMs: number,
  nowMs: number,
): PeerState {
  return {
    peer: event.peer,
    place: event.place,
    tier,
    isNear: tier === 0,
    wants: event.wants,
    wantsMore: event.wantsMore === true,
    isConnected: event.isConnected,
    hasAnswered: false,
    graceUntilMs,
    isComplete: false,
    fullPages: new BitSet(),
    partial: new Map(),
    lacks: new Map(),
    newsMs: nowMs,
    newsGapMs: 0,
    awaitedSinceMs: undefined,
    isSilent: false,
    usefulMs: nowMs,
    isHoarding: false,
    newsRate: 0,
    newsBytes: 0,
    newsWindowMs: nowMs,
    requests: new Map(),
    spentAt: -1,
    inFlightBytes: 0,
    inFlightBlocks: 0,
    answerMs: nowMs,
    answerClockMs: Number.NEGATIVE_INFINITY,
    answerGapMs: 0,
    rate: 0,
    rateBytes: 0,
    rateWindowMs: nowMs,
    busySinceMs: nowMs,
    busyBytes: 0,
    busyBlocks: 0,
    slowBackoffMs: 0,
    backoffMs: 0,
    backoffUntilMs: 0,
    isStalled: false,
  }
}

/** It says it holds the block, and nothing has shown that it does not. */
export function holds(peer: PeerState, page: number, offset: number): boolean {
  if (!peer.isComplete && !peer.fullPages.has(page) && !peer.partial.get(page)?.has(offset)) return false
  return !peer.lacks.get(page)?.has(offset)
}

/** Takes in that the peer has everything, or pages of it. Counting near copies is the caller's. */
export function recordFull(peer: PeerState, pages: readonly number[] | 'all'): void {
  if (pages === 'all') {
    peer.isComplete = true
    peer.partial.clear()
    return
  }
  for (const page of pages) {
    if (page >= MAX_PAGE) continue
    peer.fullPages.add(page)
    peer.partial.delete(page)
  }
}

/** Takes in blocks of a page in progress. Returns those of which it was not known that the peer has them. */
export function recordBlocks(peer: PeerState, page: number, offsets: readonly number[]): readonly number[] {
  let known = peer.partial.get(page)
  if (known === undefined) {
    if (peer.partial.size >= MAX_PARTIAL_PAGES) return []
    known = new BitSet()
    peer.partial.set(page, known)
  }
  const isKnown = peer.isComplete || peer.fullPages.has(page)
  const lacks = peer.lacks.get(page)
  const bits = known
  return offsets.filter(
    (offset) => offset < MAX_OFFSET && bits.add(offset) && !isKnown && lacks?.has(offset) !== true,
  )
}

export function recordLack(peer: PeerState, page: number, offset: number): void {
  const known = peer.lacks.get(page) ?? new BitSet()
  known.add(offset)
  peer.lacks.set(page, known)
}

/** May be asked for blocks now. */
export function isSource(peer: PeerState, nowMs: number): boolean {
  return peer.isConnected && !peer.isStalled && nowMs >= peer.backoffUntilMs
}

/** A block of a request arrived. */
export function recordAnswer(peer: PeerState, bytes: number, nowMs: number, clockMs: number): void {
  peer.answerGapMs = gapOf(peer.answerGapMs, nowMs - peer.answerMs)
  peer.answerMs = nowMs
  peer.answerClockMs = clockMs
  peer.backoffMs = 0
  peer.busyBytes += bytes
  peer.busyBlocks++
  peer.rateBytes += bytes
  const windowMs = clockMs - peer.rateWindowMs
  if (windowMs < 100) return
  const measured = (peer.rateBytes * 1000) / windowMs
  peer.rate = peer.rate === 0 ? measured : peer.rate * 0.7 + measured * 0.3
  peer.rateBytes = 0
  peer.rateWindowMs = clockMs
}

/** Starts the rate's window when a request goes to an idle peer: idle time is not slowness. */
export function recordRequest(peer: PeerState, request: Request, nowMs: number): void {
  if (peer.requests.size === 0) {
    peer.rateBytes = 0
    peer.rateWindowMs = request.sentClockMs
    peer.answerMs = nowMs
    peer.answerClockMs = request.sentClockMs
    restartBusy(peer, nowMs)
  }
  peer.requests.set(request.id, request)
  peer.inFlightBytes += request.bytes
  peer.inFlightBlocks += request.due.size
}

/** What a lease rests on: of an owner in this region, or of a whole region that segments enter by. */
export type Lease = Pick<
  PeerState,
  'newsMs' | 'newsGapMs' | 'awaitedSinceMs' | 'isSilent' | 'newsRate' | 'newsBytes' | 'newsWindowMs'
>

/** News of `bytes` more: renews the lease. True when it had been lost. */
export function recordNews(lease: Lease, bytes: number, nowMs: number, clockMs: number): boolean {
  const wasLost = lease.isSilent
  if (lease.awaitedSinceMs !== undefined)
    lease.newsGapMs = gapOf(lease.newsGapMs, nowMs - Math.max(lease.newsMs, lease.awaitedSinceMs))
  lease.newsMs = nowMs
  lease.isSilent = false
  lease.newsBytes += bytes
  const windowMs = clockMs - lease.newsWindowMs
  if (windowMs < 200) return wasLost
  const measured = (lease.newsBytes * 1000) / windowMs
  lease.newsRate = lease.newsRate === 0 ? measured : lease.newsRate * 0.6 + measured * 0.4
  lease.newsBytes = 0
  lease.newsWindowMs = clockMs
  return wasLost
}

export function backOff(peer: PeerState, nowMs: number, firstMs: number): void {
  peer.backoffMs = Math.min(MAX_BACKOFF_MS, peer.backoffMs === 0 ? firstMs : peer.backoffMs * 2)
  peer.backoffUntilMs = nowMs + peer.backoffMs
}

function restartBusy(peer: PeerState, nowMs: number): void {
  peer.busySinceMs = nowMs
  peer.busyBytes = 0
  peer.busyBlocks = 0
}

/** True when the peer was asked for `periodMs` without a pause and delivered next to nothing. Then the next period begins. */
export function isTooSlow(peer: PeerState, periodMs: number, nowMs: number): boolean {
  const seconds = (nowMs - peer.busySinceMs) / 1000
  if (seconds * 1000 < periodMs) return false
  const isSlow =
    peer.busyBytes < SLOW_BYTES_PER_SECOND * seconds && peer.busyBlocks < SLOW_BLOCKS_PER_SECOND * seconds
  restartBusy(peer, nowMs)
  if (!isSlow) peer.slowBackoffMs = 0
  return isSlow
}

/** Longer each time: what it answers in between does not clear it. */
export function backOffSlow(peer: PeerState, nowMs: number): void {
  peer.slowBackoffMs = Math.min(
    MAX_BACKOFF_MS,
    peer.slowBackoffMs === 0 ? FIRST_SLOW_BACKOFF_MS : peer.slowBackoffMs * 2,
  )
  peer.backoffUntilMs = nowMs + peer.slowBackoffMs
}

/** What leases and patience rest on beside the one that they are of. */
export interface Bounds {
  readonly settings: { readonly minLeaseMs: number }
  /** Of a typical segment. */
  readonly segmentBytes: number
  readonly time: { readonly share: number }
}

/** How long the peer may leave its requests without any answer. */
export function stallMs(peer: PeerState, { settings: { minLeaseMs }, time: { share } }: Bounds): number {
  const rate = peer.rate > 0 ? peer.rate : peer.isNear ? UNKNOWN_NEAR_RATE : UNKNOWN_FAR_RATE
  return Math.max(minLeaseMs, 4 * peer.answerGapMs, (share * 4 * 1000 * peer.inFlightBytes) / rate)
}

/** How long an owner may go without news. */
export function leaseMs(lease: Lease, bounds: Bounds): number {
  return Math.max(4 * lease.newsGapMs, segmentLeaseMs(lease, bounds))
}

/** The same by its rate alone. */
export function segmentLeaseMs({ newsRate }: Lease, { settings, segmentBytes, time }: Bounds): number {
  const segmentMs = newsRate === 0 ? 0 : (time.share * 1000 * segmentBytes) / newsRate
  return Math.max(settings.minLeaseMs, 4 * segmentMs)
}

/** The longest gap of late: one half as long as it is forgotten after this time. */
const GAP_HALF_LIFE_MS = 5000
/** Whoever answers less often than this is slow, however long it has been so. */
const MAX_GAP_MS = 2500

function gapOf(knownMs: number, gapMs: number): number {
  if (gapMs <= 0) return knownMs
  return Math.min(MAX_GAP_MS, Math.max(gapMs, knownMs * 2 ** (-gapMs / GAP_HALF_LIFE_MS)))
}
