/**
 * How long this node has been held up: by a machine that did not let it run, by its own work in one turn of the event loop, or
 * by a disk that took long to store what had arrived. Meanwhile it hears nothing of its peers, and must not hold that
 * against them.
 */
import type { Clock } from '../../base/clock.ts'

const BEAT_MS = 50
/** Timers are this late at all times. */
const ORDINARY_LATENESS_MS = 10
/** Storing a batch takes about this long at all times. */
const ORDINARY_WORK_MS = 250

export interface HeldUp {
  /** In all, so far. Never falls. */
  totalMs(): number
  /** Work of its own on which all else waits. */
  during<T>(work: Promise<T>): Promise<T>
  stop(): void
}

export function startHeldUp(clock: Clock): HeldUp {
  let totalMs = 0
  let dueMs = 0
  let cancel = (): void => undefined

  const lateMs = (): number => Math.max(0, clock.monotonicMs() - dueMs - ORDINARY_LATENESS_MS)

  function beat(): void {
    dueMs = clock.monotonicMs() + BEAT_MS
    cancel = clock.after(BEAT_MS, () => {
      totalMs += lateMs()
      beat()
    })
  }

  beat()
  return {
    // Another timer may run before this one: the time by which it is late counts already.
    totalMs: () => totalMs + lateMs(),
    async during(work) {
      const startMs = clock.monotonicMs()
      try {
        return await work
      } finally {
        totalMs += Math.max(0, clock.monotonicMs() - startMs - ORDINARY_WORK_MS)
      }
    },
    stop: () => cancel(),
  }
}
