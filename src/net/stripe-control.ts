/**
 * Decides over how many connections the blocks of a peer travel: one, and 4 or 8 where that is measured to be faster.
 * A path that loses packets, or that holds more than the kernel's buffers, is not filled by one; any other is, and
 * more would only take from its neighbours. Pure: time and measurements come in, a number of connections comes out.
 *
 * A try adds some once the rate has settled, lets the new connections find their pace, and keeps them if the rate has
 * risen by a fifth; else they go, and the next try waits. It is not made on near paths, nor while this node's processor
 * is the limit, nor while a queue stands on the path: then others share it.
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
/** A path whose round trip is this much over its smallest has a queue. */
const QUEUE_MS = 30
const QUEUE_SHARE = 0.25

type Phase = 'measuring' | 'opening' | 'ramping' | 'judging'

/** @param isBusy the processor is the limit: more connections would bring nothing but the work of making them */
export function createStripeControl(
  baseRttMs: () => number | undefined,
  isBusy: () => boolean = () => false,
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

  const restart = (): void => {
    windowMs = undefined
    bytes = 0
  }
  const giveUp = (nowMs: number): void => {
    wanted = count
    phase = 'measuring'
    nextTryMs = nowMs + NEXT_TRY_MS
    rate = 0
    restart()
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
      if (measured < rate * SETTLED && measured > rate / FALLEN && !isBusy()) {
        baseline = (rate + measured) / 2
        wanted = Math.min(MAX_STRIPES, count * 4)
        phase = 'opening'
      }
    }
    rate = measured
  }

  return {
    received(arrived, nowMs) {
      windowMs ??= nowMs
      bytes += arrived
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
