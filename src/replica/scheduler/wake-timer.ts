/**
 * The scheduler's alarm: one timer, however often it is set. A later time costs nothing while the timer runs (it is looked at
 * again when the timer rings), so that an event does not cost a timer.
 */
import type { Clock } from '../../base/clock.ts'

export interface WakeTimer {
  /** Rings at this time, in place of the time that was set before. */
  set(atMs: number): void
  stop(): void
}

export function createWakeTimer(clock: Clock, onWake: () => void): WakeTimer {
  let wakeMs = Number.POSITIVE_INFINITY
  let timerMs = Number.POSITIVE_INFINITY
  let cancel: (() => void) | undefined

  function arm(): void {
    if (timerMs <= wakeMs || wakeMs === Number.POSITIVE_INFINITY) return
    cancel?.()
    timerMs = wakeMs
    cancel = clock.after(Math.max(1, wakeMs - clock.monotonicMs()), ring)
  }

  function ring(): void {
    timerMs = Number.POSITIVE_INFINITY
    cancel = undefined
    if (clock.monotonicMs() < wakeMs) {
      arm()
      return
    }
    wakeMs = Number.POSITIVE_INFINITY
    onWake()
  }

  return {
    set(atMs) {
      wakeMs = atMs
      arm()
    },
    stop() {
      cancel?.()
      cancel = undefined
      wakeMs = Number.POSITIVE_INFINITY
      timerMs = Number.POSITIVE_INFINITY
    },
  }
}
