/**
 * The node's own time, in which leases, graces and patience are counted: it stands still while the node could not have heard
 * anything, because its process was not running or did something else. Silence in such a time is nobody's fault. What had
 * come in meanwhile takes a moment to be looked at: own time stands still for that, too.
 *
 * What was measured by the clock (rates) is turned into own time by `share`: of late, the share of the time in which the node
 * was not held up.
 *
 * Own time never goes back, never runs faster than the clock, and equals it as long as the node is not held up.
 */

/** A node held up for longer than this has something to catch up with, for as long again and at most this long. */
const MIN_CATCH_UP_MS = 100
const MAX_CATCH_UP_MS = 1000
/** Between two times of catching up: one that is late all the time must not wait for ever. */
const CATCH_UP_PAUSE = 3
const ROUNDING_MS = 0.001
/** What happened so long ago counts half. */
const SHARE_HALF_LIFE_MS = 5000

export interface OwnTime {
  readonly clockMs: number
  readonly skippedMs: number
  readonly heldUpMs: number
  /** From 0 to 1. */
  readonly share: number
  /** Of the clock. */
  readonly catchUpUntilMs: number
  readonly nextCatchUpMs: number
}

export function startTime(clockMs: number, heldUpMs: number): OwnTime {
  return {
    clockMs,
    skippedMs: 0,
    heldUpMs,
    share: 1,
    catchUpUntilMs: Number.NEGATIVE_INFINITY,
    nextCatchUpMs: Number.NEGATIVE_INFINITY,
  }
}

/** @param heldUpMs how long the node has been held up, in all its life; never falls */
export function advanceTime(time: OwnTime, clockMs: number, heldUpMs: number): OwnTime {
  const passedMs = Math.max(0, clockMs - time.clockMs)
  const heldMs = Math.max(0, heldUpMs - time.heldUpMs)
  const caughtUpMs = Math.max(0, Math.min(clockMs, time.catchUpUntilMs) - time.clockMs)
  let { catchUpUntilMs, nextCatchUpMs } = time
  if (heldMs >= MIN_CATCH_UP_MS && clockMs >= nextCatchUpMs) {
    const catchUpMs = Math.min(heldMs, MAX_CATCH_UP_MS)
    catchUpUntilMs = clockMs + catchUpMs
    nextCatchUpMs = catchUpUntilMs + CATCH_UP_PAUSE * catchUpMs
  }
  const skippedMs = Math.min(passedMs, heldMs + caughtUpMs)
  const weight = 2 ** (-passedMs / SHARE_HALF_LIFE_MS)
  return {
    clockMs: Math.max(time.clockMs, clockMs),
    skippedMs: time.skippedMs + skippedMs,
    share: passedMs === 0 ? time.share : time.share * weight + (1 - skippedMs / passedMs) * (1 - weight),
    heldUpMs: Math.max(time.heldUpMs, heldUpMs),
    catchUpUntilMs,
    nextCatchUpMs,
  }
}

export function ownMs({ clockMs, skippedMs }: OwnTime): number {
  return clockMs - skippedMs
}

/** When the clock will show it, if nothing holds up the node. */
export function clockMsOf({ clockMs, skippedMs, catchUpUntilMs }: OwnTime, atOwnMs: number): number {
  const inMs = Math.max(0, catchUpUntilMs - clockMs) + skippedMs
  // The sum and the difference of the same times need not agree to the last bit: never a little too early.
  return inMs === 0 ? atOwnMs : atOwnMs + inMs + ROUNDING_MS
}
