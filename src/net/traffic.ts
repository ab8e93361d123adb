/** Counts what goes to and comes from each peer. Bounded: the peers longest unheard of are forgotten first. */
import { MAX_TRACKED_PEERS } from './limits.ts'
import type { PeerTraffic } from './ports.ts'

export interface PeerCounter {
  bytesSent: number
  bytesReceived: number
  blocksSent: number
  blocksReceived: number
}

export interface Traffic {
  /** The live counter of a peer, to be added to. */
  of(peer: string): PeerCounter
  all(): PeerTraffic[]
}

export function createTraffic(): Traffic {
  const counters = new Map<string, PeerCounter>()
  return {
    of(peer) {
      const known = counters.get(peer)
      const counter = known ?? { bytesSent: 0, bytesReceived: 0, blocksSent: 0, blocksReceived: 0 }
      counters.delete(peer)
      counters.set(peer, counter)
      if (known === undefined && counters.size > MAX_TRACKED_PEERS) {
        counters.delete(counters.keys().next().value!)
      }
      return counter
    },
    all: () => [...counters].map(([peer, counter]) => ({ peer, ...counter })),
  }
}
