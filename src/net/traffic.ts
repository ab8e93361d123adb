/**
 * Counts what goes to and comes from each peer, and by each of our protocols. Bounded: the peers longest unheard of are
 * forgotten first; protocols are few.
 */
import { MAX_TRACKED_PEERS } from './limits.ts'
import type { PeerTraffic, ProtocolTraffic } from './ports.ts'

export interface PeerCounter {
  bytesSent: number
  bytesReceived: number
  blocksSent: number
  blocksReceived: number
}

/** Of one stream: each call is a message of the muxer. */
export interface StreamCounter {
  sent(bytes: number): void
  received(bytes: number): void
}

export interface Traffic {
  /** The live counter of a peer, to be added to. */
  of(peer: string): PeerCounter
  stream(peer: string, protocol: string): StreamCounter
  all(): PeerTraffic[]
  protocols(): ProtocolTraffic[]
}

type Tally = { -readonly [K in keyof Omit<ProtocolTraffic, 'protocol'>]: ProtocolTraffic[K] }

export function createTraffic(): Traffic {
  const counters = new Map<string, PeerCounter>()
  const tallies = new Map<string, Tally>()

  function of(peer: string): PeerCounter {
    const known = counters.get(peer)
    const counter = known ?? { bytesSent: 0, bytesReceived: 0, blocksSent: 0, blocksReceived: 0 }
    counters.delete(peer)
    counters.set(peer, counter)
    if (known === undefined && counters.size > MAX_TRACKED_PEERS) {
      counters.delete(counters.keys().next().value!)
    }
    return counter
  }

  function tallyOf(protocol: string): Tally {
    const known = tallies.get(protocol)
    if (known !== undefined) return known
    const tally = { bytesSent: 0, bytesReceived: 0, messagesSent: 0, messagesReceived: 0 }
    tallies.set(protocol, tally)
    return tally
  }

  return {
    of,
    stream(peer, protocol) {
      const counter = of(peer)
      const tally = tallyOf(protocol)
      return {
        sent(bytes) {
          counter.bytesSent += bytes
          tally.bytesSent += bytes
          tally.messagesSent++
        },
        received(bytes) {
          counter.bytesReceived += bytes
          tally.bytesReceived += bytes
          tally.messagesReceived++
        },
      }
    },
    all: () => [...counters].map(([peer, counter]) => ({ peer, ...counter })),
    protocols: () => [...tallies].map(([protocol, tally]) => ({ protocol, ...tally })),
  }
}
