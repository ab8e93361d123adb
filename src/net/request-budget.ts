/** How many requests this node works on at one time: for each peer, and for all. A full budget is answered with `busy`. */
import { MAX_ACTIVE_PER_PEER, MAX_ACTIVE_REQUESTS, MAX_REQUESTS_PER_PEER } from './limits.ts'

export interface RequestBudget {
  /** Takes a place in the queue of a peer; undefined when it has none left. The function returned gives it back. */
  admit(peer: string): (() => void) | undefined
  /** Takes a place among those being answered; undefined when peer or node have none left. */
  activate(peer: string): (() => void) | undefined
}

export function createRequestBudget({
  perPeer = MAX_REQUESTS_PER_PEER,
  activePerPeer = MAX_ACTIVE_PER_PEER,
  active = MAX_ACTIVE_REQUESTS,
} = {}): RequestBudget {
  const admitted = new Map<string, number>()
  const running = new Map<string, number>()
  let runningInAll = 0
  return {
    admit: (peer) => take(admitted, peer, perPeer),
    activate(peer) {
      if (runningInAll >= active) return undefined
      const release = take(running, peer, activePerPeer)
      if (release === undefined) return undefined
      runningInAll++
      return once(() => {
        runningInAll--
        release()
      })
    },
  }
}

function take(counts: Map<string, number>, peer: string, limit: number): (() => void) | undefined {
  const count = counts.get(peer) ?? 0
  if (count >= limit) return undefined
  counts.set(peer, count + 1)
  return once(() => {
    const left = counts.get(peer)! - 1
    if (left === 0) counts.delete(peer)
    else counts.set(peer, left)
  })
}

function once(task: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    task()
  }
}
