/**
 * How long there has been no news: first too long to wait for what is not listed yet, then too long to wait for anything. Time
 * in which others had to be heard does not count. The next news begin it all again.
 */
import type { Clock } from '../../base/clock.ts'
import type { HeldUp } from '../scheduler/held-up.ts'

export interface NewsClock {
  /** Less than `waitMs` without news. */
  isWaiting(): boolean
  /** `lateMs` without news, or more. */
  isLate(): boolean
  news(): void
  stop(): void
}

/** @param onChange called when an answer is another one than before; with how long there has been no news, or 0 */
export function createNewsClock(
  { clock, heldUp }: { readonly clock: Clock; readonly heldUp: HeldUp },
  {
    waitMs,
    lateMs,
    onChange,
  }: { readonly waitMs: number; readonly lateMs: number; readonly onChange: (quietMs: number) => void },
): NewsClock {
  const ownMs = (): number => clock.monotonicMs() - heldUp.totalMs()
  let newsMs = ownMs()
  let isWaiting = true
  let isLate = false
  let isStopped = false
  let cancelTimer: (() => void) | undefined

  function watch(): void {
    if (isStopped || cancelTimer !== undefined) return
    const limitMs = isWaiting ? waitMs : lateMs
    cancelTimer = clock.after(Math.max(1, newsMs + limitMs - ownMs()), () => {
      cancelTimer = undefined
      const quietMs = ownMs() - newsMs
      const before = [isWaiting, isLate]
      if (quietMs >= waitMs) isWaiting = false
      if (quietMs >= lateMs) isLate = true
      if (before[0] !== isWaiting || before[1] !== isLate) onChange(quietMs)
      if (!isLate) watch()
    })
  }

  return {
    isWaiting: () => isWaiting,
    isLate: () => isLate,
    news() {
      newsMs = ownMs()
      const wasQuiet = !isWaiting || isLate
      isWaiting = true
      isLate = false
      if (wasQuiet) onChange(0)
      watch()
    },
    stop() {
      isStopped = true
      cancelTimer?.()
      cancelTimer = undefined
    },
  }
}
