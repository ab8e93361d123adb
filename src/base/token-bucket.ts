/** Holds a flow to a rate. Whoever comes gets the next free place in time: in order, with no queue to keep. */
import type { Clock } from './clock.ts'
import { sleep } from './clock.ts'

/** What a flow that was idle may send at once, as time at its rate. */
const BURST_MS = 100

export interface TokenBucket {
  readonly bytesPerSecond: number
  /** Resolves when `bytes` may pass. @throws the signal's reason; their place is lost then */
  take(bytes: number, signal?: AbortSignal): Promise<void>
  /** Resolves when what has passed so far is within the rate. */
  ready(signal?: AbortSignal): Promise<void>
  /** Counts bytes that have passed without asking. */
  spend(bytes: number): void
}

/** @param bytesPerSecond more than 0 */
export function createTokenBucket(clock: Clock, bytesPerSecond: number): TokenBucket {
  let freeMs = Number.NEGATIVE_INFINITY

  /** Returns when the first of the bytes may pass. */
  function reserve(bytes: number): number {
    const startMs = Math.max(freeMs, clock.monotonicMs() - BURST_MS)
    freeMs = startMs + (1000 * bytes) / bytesPerSecond
    return startMs
  }

  async function until(atMs: number, signal: AbortSignal | undefined): Promise<void> {
    const delayMs = atMs - clock.monotonicMs()
    if (delayMs > 0) await sleep(clock, delayMs, signal)
    else signal?.throwIfAborted()
  }

  return {
    bytesPerSecond,
    take: (bytes, signal) => until(reserve(bytes), signal),
    async ready(signal) {
      // Others may spend while this one waits.
      while (freeMs > clock.monotonicMs()) await until(freeMs, signal)
      signal?.throwIfAborted()
    },
    spend: (bytes) => void reserve(bytes),
  }
}
