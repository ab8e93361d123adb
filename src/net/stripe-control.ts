/**
 * Decides over how many connections the blocks of a peer travel: one, and 4 or 8 where that is measured to be faster.
 * A path that loses packets, or that holds more than the kernel's buffers, is not filled by one; any other is, and
 * more would only take from its neighbours. Pure: time and measurements come in, a number of connections comes out.
 *
 * A try adds some once the rate has settled, lets the new connections find their pace, and keeps them if the rate has
 * risen by a fifth; else they go, and the next try waits. It is not made on near paths, nor while this node's processor
 * is the limit, nor while a queue stands on the path: then it is full, by this transfer or by others.
 *
 * Two things are not waited for. Packets that come out of their order while no queue stands are losses of the path and no
 * congestion: one connection falls back with each of them, so there are as many as may be at once. And a path that is declared, or seen, to hold more than
 * half of what a kernel's buffers do gets four before its rate has settled.
 */
export interface StripeControl {
  /** Bytes arrived, at a time of `monotonicMs`. Returns how many connections there should be from now on. */
  received(bytes: number, nowMs: number): number
  /** Nothing is asked for any more: what was being measured does not count. */
  idle(): void
  /** All connections but the first were closed: what was learnt is forgotten. */
  reset(): void
  /** The connections asked for are there, or could not be had. @param rttMs measured on a new one */
  opened(count: number, rttMs: number, nowMs: number): void
}

export const MAX_STRIPES = 8
const MIN_WINDOW_MS = 1000
const WINDOW_RTTS = 8
/** TCP's and yamux's windows both begin small, and double each round trip. */
const RAMP_WINDOWS = 2
/** Below it one connection recovers from a loss at once, and the kernel's buffers hold all that the path does. */
const MIN_RTT_MS = 10
const SETTLED = 1.2
const FALLEN = 1.5
const WORTH_IT = 1.2
const NEXT_TRY_MS = 60_000
/** Others had the path. */
const AFTER_OTHERS_MS = 5_000
/** Of a connection, in Linux's default (net.ipv4.tcp_wmem): more than this is not in flight over it. */
const BUFFER_BYTES = 4 * 1024 * 1024
const MANY_BYTES = BUFFER_BYTES / 2
const SIGNS_MS = 200
/** Fewer may have overtaken each other. */
const HOLES = 4
/** A queue that was seen within this time may have caused the holes that are seen now. */
const QUEUE_KEPT_MS = 2000
/** And one that is seen a little later, too: round trips are measured seldom at the receiving end. */
const WAIT_FOR_QUEUE_MS = 500
/** More than round trips waver by. */
const STANDING_QUEUE_MS = 5
/** A path whose round trip is this much over its smallest has a queue. */
const QUEUE_MS = 30
const QUEUE_SHARE = 0.25

/** What TCP tells of the path, of all its connections. */
export interface PathSigns {
  /** Since some time or other: only the difference counts. */
  readonly outOfOrderPackets: number
  readonly queueMs: number
  /** Other traffic has the path. */
  readonly isYielding: boolean
}

export interface StripeSigns {
  /** The processor is the limit: more connections would bring nothing but the work of making them. */
  readonly isBusy?: () => boolean
  readonly path?: () => PathSigns | undefined
  /** Of the narrowest pipe on the way, bytes a second. */
  readonly declaredRate?: () => number | undefined
}

type Phase = 'measuring' | 'opening' | 'ramping' | 'judging'

export function createStripeControl(
  baseRttMs: () => number | undefined,
  { isBusy = () => false, path = () => undefined, declaredRate = () => undefined }: StripeSigns = {},
): StripeControl {
  let count = 1
  let wanted = 1
  let phase: Phase = 'measuring'
  let windowMs: number | undefined
  let bytes = 0
  let rate = 0
  let baseline = 0
  let nextTryMs = 0
  let rampsLeft = 0
  let isFirst = true
  let signsMs = Number.NEGATIVE_INFINITY
  let holes: number | undefined
  let queuedMs = Number.NEGATIVE_INFINITY
  let holedMs: number | undefined
  /** The smallest of a window. */
  let queueMs = Number.POSITIVE_INFINITY

  const restart = (): void => {
    windowMs = undefined
    bytes = 0
    queueMs = Number.POSITIVE_INFINITY
  }
  const open = (more: number, than: number): void => {
    baseline = than
    wanted = Math.min(MAX_STRIPES, more)
    phase = 'opening'
  }
  const giveUp = (nowMs: number, left = count, pauseMs = NEXT_TRY_MS): void => {
    count = left
    wanted = left
    phase = 'measuring'
    nextTryMs = nowMs + pauseMs
    rate = 0
    restart()
  }
  /** What need not be waited for. */
  const look = (nowMs: number): void => {
    if (nowMs - signsMs < SIGNS_MS) return
    signsMs = nowMs
    const rttMs = baseRttMs() ?? 0
    const seen = path()
    const newHoles = seen === undefined || holes === undefined ? 0 : seen.outOfOrderPackets - holes
    holes = seen?.outOfOrderPackets
    if (seen !== undefined) {
      queueMs = Math.min(queueMs, seen.queueMs)
      if (seen.isYielding) {
        // One is enough for what is left, and what waits in several waits longer.
        if (phase !== 'opening') giveUp(nowMs, 1, AFTER_OTHERS_MS)
        return
      }
      if (seen.queueMs > QUEUE_MS / 2 + rttMs * QUEUE_SHARE) queuedMs = nowMs
    }
    if (phase !== 'measuring' || rttMs < MIN_RTT_MS || count === MAX_STRIPES || nowMs < nextTryMs) return
    const elapsedMs = nowMs - (windowMs ?? nowMs)
    if (isFirst) {
      isFirst = false
      if (((declaredRate() ?? 0) * rttMs) / 1000 >= MANY_BYTES) open(count * 4, 0)
    } else if (holedMs === undefined) {
      if (newHoles >= HOLES) holedMs = nowMs
    } else if (nowMs - holedMs >= WAIT_FOR_QUEUE_MS) {
      const isLossy = queuedMs < holedMs - QUEUE_KEPT_MS
      holedMs = undefined
      // What one carried up to its first loss it will not carry again.
      if (isLossy && elapsedMs >= SIGNS_MS && !isBusy()) open(MAX_STRIPES, bytes / elapsedMs / 2)
    }
  }
  const judge = (measured: number, nowMs: number): void => {
    if (phase === 'ramping') {
      if (--rampsLeft === 0) phase = 'judging'
    } else if (phase === 'judging') {
      if (measured < baseline * WORTH_IT) {
        giveUp(nowMs)
        return
      }
      count = wanted
      phase = 'measuring'
    } else if (phase === 'measuring' && count < MAX_STRIPES && nowMs >= nextTryMs && rate > 0) {
      // A start rises, and falls with its first loss.
      const isSettled = measured < rate * SETTLED && measured > rate / FALLEN
      const isLong = count === 1 && measured * (baseRttMs() ?? 0) >= MANY_BYTES
      const isFull = Number.isFinite(queueMs) && queueMs > STANDING_QUEUE_MS
      if ((isSettled || isLong) && !isFull && !isBusy()) open(count * 4, (rate + measured) / 2)
    }
    rate = measured
  }

  return {
    received(arrived, nowMs) {
      windowMs ??= nowMs
      bytes += arrived
      look(nowMs)
      const elapsedMs = nowMs - windowMs
      if (elapsedMs < MIN_WINDOW_MS) return wanted
      // Looked up now and then, not with each arrival.
      const rttMs = baseRttMs()
      if (rttMs === undefined || rttMs < MIN_RTT_MS) restart()
      else if (elapsedMs >= WINDOW_RTTS * rttMs) {
        const measured = bytes / elapsedMs
        windowMs = nowMs
        bytes = 0
        judge(measured, nowMs)
        queueMs = Number.POSITIVE_INFINITY
      }
      return wanted
    },
    idle() {
      restart()
      rate = 0
      if (phase === 'judging') {
        phase = 'ramping'
        rampsLeft = 1
      }
    },
    reset() {
      count = 1
      wanted = 1
      phase = 'measuring'
      rate = 0
      isFirst = true
      holes = undefined
      holedMs = undefined
      restart()
    },
    opened(opened, rttMs, nowMs) {
      if (phase !== 'opening') return
      const base = baseRttMs() ?? rttMs
      if (opened < wanted || rttMs > base * (1 + QUEUE_SHARE) + QUEUE_MS) giveUp(nowMs)
      else {
        phase = 'ramping'
        rampsLeft = RAMP_WINDOWS
        restart()
      }
    },
  }
}
