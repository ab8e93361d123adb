/**
 * A pipe with a queue, in steps of time: what senders of given rates get of it, and what a packet waits. What is sent joins one
 * queue, first in, first out; what does not fit is lost. Senders learn of a step's fate a round trip later.
 */
export interface PipeSettings {
  readonly bytesPerSecond: number
  readonly baseRttMs: number
  readonly queueBytes: number
}

export interface Heard {
  readonly deliveredBytes: number
  readonly lostBytes: number
  readonly rttMs: number
}

export interface OnePipe {
  /** Sends for one step, at a rate each. Returns what each hears in it. */
  step(rates: readonly number[]): Heard[]
  queueMs(): number
}

export const STEP_MS = 10

export function createPipe({ bytesPerSecond, baseRttMs, queueBytes }: PipeSettings): OnePipe {
  interface Parcel {
    readonly shares: number[]
    readonly lost: number[]
    left: number
    readonly total: number
  }
  const queue: Parcel[] = []
  let queued = 0
  /** What senders hear at a step. */
  const news = new Map<number, Heard[]>()
  const lag = Math.max(1, Math.round(baseRttMs / STEP_MS))
  let now = 0
  const queueMs = (): number => (queued * 1000) / bytesPerSecond

  return {
    queueMs,
    step(rates) {
      const shares = rates.map((rate) => (rate * STEP_MS) / 1000)
      const total = shares.reduce((sum, each) => sum + each, 0)
      const sent = Math.min(total, queueBytes + (bytesPerSecond * STEP_MS) / 1000 - queued)
      const part = total === 0 ? 0 : Math.max(0, sent) / total
      queue.push({
        shares: shares.map((each) => each * part),
        lost: shares.map((each) => each * (1 - part)),
        left: total * part,
        total: total * part,
      })
      queued += total * part
      const waitMs = queueMs()
      let room = (bytesPerSecond * STEP_MS) / 1000
      const got = rates.map(() => 0)
      while (queue.length > 0 && (room > 0 || queue[0]!.left === 0)) {
        const first = queue[0]!
        const taken = Math.min(room, first.left)
        if (first.total > 0)
          for (const [i, share] of first.shares.entries())
            if (got[i] !== undefined) got[i] += (share * taken) / first.total
        first.left -= taken
        queued -= taken
        room -= taken
        if (first.left > 1e-9) break
        queue.shift()
      }
      const lost = shares.map((each) => each * (1 - part))
      news.set(
        now + lag,
        got.map((deliveredBytes, i) => ({
          deliveredBytes,
          lostBytes: lost[i]!,
          rttMs: baseRttMs + waitMs,
        })),
      )
      const heard = rates.map(
        (_, i) => news.get(now)?.[i] ?? { deliveredBytes: 0, lostBytes: 0, rttMs: baseRttMs },
      )
      news.delete(now)
      now++
      return heard
    },
  }
}
