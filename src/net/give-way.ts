/**
 * Decides how fast this node may send over one path, so that it takes what others leave of it. A scavenger of the kind of
 * LEDBAT (RFC 6817): what the queue on the path costs a packet, its round trip less the smallest one, is held at a target;
 * whoever fills the path by loss, as TCP does, pushes the queue over it, and is made room for. Losses without a queue say
 * nothing here. Pure: time and measurements come in, a rate comes out.
 *
 * From LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus): the round trip instead of one-way delays, a decrease by a factor of a half
 * at most, an increase that is the same for all beside one by a factor, and slowdowns now and then, in which the queue is the
 * others' only: without them a late comer takes the queue it finds for the path's length, and drives out who came first. Other
 * than there, what is steered is a rate and no window, for the kernel paces by rates: it is what was delivered last, and as
 * much more or less as takes the queue to the target.
 *
 * Invariants: the rate is never below the minimum; without a queue it doubles, and is no bound at all soon after.
 */
export interface GiveWaySettings {
  /** What the queue may be. */
  readonly targetMs: number
  readonly minBytesPerSecond: number
}

/** Of all connections of the path together, since the look before. */
export interface PathSample {
  /** The shortest of those that carry something now. */
  readonly rttMs: number
  /** The smallest that the kernel has seen of any of them; 0 when it does not know. */
  readonly minRttMs: number
  readonly deliveredBytes: number
}

export interface GiveWay {
  /** To be told often, also while nothing is carried (undefined). Returns `rate()`. */
  look(sample: PathSample | undefined, nowMs: number): number
  /** Bytes a second that may leave; infinite when nothing bounds them. */
  rate(): number
  /** Undefined before the first measurement. */
  queueMs(): number | undefined
  baseMs(): number | undefined
  /** Others are made room for, or were within the last seconds. */
  isYielding(nowMs: number): boolean
}

/** The base is the smallest of so many minutes: routes change. */
const BASE_MINUTES = 5
const MINUTE_MS = 60_000
const MIN_ROUND_MS = 100
/** The smallest of so many counts (as RFC 6817's filter of the current delay): a machine or a radio that was late for once is no queue. */
const LOOKS = 2
/** What is added a round whatever the rate: by it the shares of several such senders become equal. */
const STEP_BYTES = 4 * 1448
/** Rates of so many rounds are kept: the best of them is what the path gave of late. */
const ROUNDS = 8
/** In a row without a queue, after which the rate is no bound. */
const CALM_ROUNDS = 14
/** Of the best of late, that is had again by steps of a quarter. */
const KNOWN = 0.95
const REGAIN = 1.25
/** Growth beyond it in the first calm rounds; then doubling. */
const GROWTH = [1.05, 1.05, 1.05, 1.05, 1.1, 1.25, 1.5] as const
/** Over the target in a row, that a queue of this node's own may take to be gone. */
const OWN_ROUNDS = 3
const FIRST_SLOWDOWN_MS = 2_000
const SLOWDOWN_EVERY_MS = 30_000
const SLOWDOWN_SHARE = 0.25
/** Time in which nothing was sent is not slowness. */
const PAUSE_MS = 500
const IDLE_MS = 10_000
/** A queue that is so much over the target for so many rounds, in which this node sends less and less, is not its own. */
const OTHERS = 1.5
const OTHERS_ROUNDS = 6
const YIELDING_MS = 5_000

interface Slowdown {
  readonly untilMs: number
  readonly backTo: number
}

export function createGiveWay({ targetMs, minBytesPerSecond }: GiveWaySettings): GiveWay {
  /** Smallest round trip by the minute. */
  const minima = new Map<number, number>()
  const delivered: number[] = []
  let rate = Number.POSITIVE_INFINITY
  let base: number | undefined
  let queue: number | undefined
  let roundMs: number | undefined
  let roundBytes = 0
  const lastMs: number[] = []
  let calmRounds = 0
  let overRounds = 0
  let othersMs = Number.NEGATIVE_INFINITY
  let heardMs = Number.NEGATIVE_INFINITY
  let nextSlowdownMs: number | undefined
  let slowedMs = Number.NEGATIVE_INFINITY
  let slowdown: Slowdown | undefined

  function noteBase({ rttMs, minRttMs }: PathSample, nowMs: number): number {
    const minute = Math.floor(nowMs / MINUTE_MS)
    const smallest = minRttMs > 0 ? Math.min(minRttMs, rttMs) : rttMs
    minima.set(minute, Math.min(minima.get(minute) ?? Number.POSITIVE_INFINITY, smallest))
    for (const each of minima.keys()) if (each <= minute - BASE_MINUTES) minima.delete(each)
    return Math.min(...minima.values())
  }

  function set(next: number): void {
    rate = Math.max(minBytesPerSecond, next)
  }

  function free(): void {
    rate = Number.POSITIVE_INFINITY
    calmRounds = 0
    slowdown = undefined
    nextSlowdownMs = undefined
    delivered.length = 0
    roundMs = undefined
  }

  function endRound(queueMs: number, rttMs: number, elapsedMs: number, nowMs: number): void {
    const got = (roundBytes * 1000) / elapsedMs
    delivered.push(got)
    if (delivered.length > ROUNDS) delivered.shift()
    if (slowdown !== undefined) {
      if (nowMs < slowdown.untilMs) return
      set(slowdown.backTo)
      slowdown = undefined
      return
    }
    overRounds = queueMs > OTHERS * targetMs ? overRounds + 1 : 0
    if (overRounds >= OTHERS_ROUNDS) othersMs = nowMs
    if (queueMs <= targetMs / 2) {
      if (Number.isFinite(rate)) grow(got)
    } else {
      calmRounds = 0
      steer(queueMs - targetMs, got, rttMs)
      if (queueMs <= 2 * targetMs) beginSlowdown(queueMs, rttMs, nowMs)
    }
  }

  /** Quickly to what the path gave of late; beyond it slowly at first, for what is too much shows a round trip later. */
  function grow(got: number): void {
    const best = Math.max(...delivered)
    if (calmRounds >= CALM_ROUNDS && rate > 2 * best) {
      free()
      return
    }
    const from = Math.max(rate, got)
    if (from < KNOWN * best) set(Math.min(from * REGAIN, best))
    else set(from * (GROWTH[calmRounds++] ?? 2))
  }

  /**
   * From what was delivered, not from the rate that was set: the one shows the other a round trip later. Alone it stays what the
   * pipe gives for as long as a queue stands; beside others it falls with the share that is asked for.
   */
  function steer(overTargetMs: number, got: number, rttMs: number): void {
    const roundTripMs = Math.max(MIN_ROUND_MS, rttMs)
    const step = (STEP_BYTES * 1000) / roundTripMs
    // To where the queue is at its target after two round trips: in less it would be overdone. One of its own is gone soon.
    const share = overRounds > OWN_ROUNDS ? 0.5 : 1 - overTargetMs / (2 * roundTripMs)
    const next = got * Math.max(0.5, share) + step
    set(overTargetMs > targetMs ? Math.min(rate, next) : next)
  }

  function beginSlowdown(queueMs: number, rttMs: number, nowMs: number): void {
    nextSlowdownMs ??= Math.max(nowMs + FIRST_SLOWDOWN_MS, slowedMs + SLOWDOWN_EVERY_MS)
    if (nowMs < nextSlowdownMs) return
    slowedMs = nowMs
    nextSlowdownMs = nowMs + SLOWDOWN_EVERY_MS
    slowdown = { untilMs: nowMs + 2 * rttMs + queueMs, backTo: rate }
    set(rate * SLOWDOWN_SHARE)
  }

  return {
    look(sample, nowMs) {
      if (sample === undefined) {
        if (nowMs - heardMs > IDLE_MS) free()
        else if (nowMs - heardMs > PAUSE_MS) roundMs = undefined
        return rate
      }
      if (roundMs === undefined) {
        roundMs = nowMs
        roundBytes = 0
        lastMs.length = 0
      } else roundBytes += sample.deliveredBytes
      heardMs = nowMs
      base = noteBase(sample, nowMs)
      lastMs.push(sample.rttMs)
      if (lastMs.length > LOOKS) lastMs.shift()
      const rttMs = Math.min(...lastMs)
      queue = Math.max(0, rttMs - base)
      const elapsedMs = nowMs - roundMs
      if (elapsedMs >= Math.max(MIN_ROUND_MS, rttMs)) {
        endRound(queue, rttMs, elapsedMs, nowMs)
        roundMs = nowMs
        roundBytes = 0
      }
      return rate
    },
    rate: () => rate,
    queueMs: () => queue,
    baseMs: () => base,
    isYielding: (nowMs) => Number.isFinite(rate) && nowMs - othersMs <= YIELDING_MS,
  }
}
