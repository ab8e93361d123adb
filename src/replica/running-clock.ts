/**
 * Time in which this process ran. A process that was stopped, suspended or starved for seconds finds, when it goes on,
 * that everybody seems to have been silent for seconds: their answers wait in its sockets, and its timers come first. So
 * what others are measured by (leases, stalls, rates) must not count such time, or each pause costs a round of requests to
 * farther peers for what the near ones have sent long since.
 *
 * It is looked at often, and each look counts no more than it may take on a machine that is merely busy.
 */
import type { Clock } from '../base/clock.ts'

const LOOK_MS = 250
/** Twice the time between two looks. */
const MAX_STEP_MS = 500

/** Its `monotonicMs` never goes faster than the clock's that it is made of. */
export interface RunningClock extends Clock {
  stop(): void
}

export function createRunningClock(clock: Clock): RunningClock {
  let lastMs = clock.monotonicMs()
  let ranMs = lastMs
  let cancel: (() => void) | undefined

  function monotonicMs(): number {
    const atMs = clock.monotonicMs()
    ranMs += Math.min(atMs - lastMs, MAX_STEP_MS)
    lastMs = atMs
    return ranMs
  }

  function look(): void {
    monotonicMs()
    cancel = clock.after(LOOK_MS, look)
  }

  look()
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs,
    after: (delayMs, task) => clock.after(delayMs, task),
    stop: () => cancel?.(),
  }
}
