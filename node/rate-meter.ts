/**
 * How fast bytes go to and come from each peer: the mean of the last few seconds, and the greatest of such means since
 * the node started. Bounded by the counters that it reads (the last 1,024 peers).
 */
import type { Clock } from '../src/base/clock.ts'
import type { Host } from '../src/net/ports.ts'

export interface PeerRate {
  readonly sentBytesPerSecond: number
  readonly receivedBytesPerSecond: number
  readonly maxSentBytesPerSecond: number
  readonly maxReceivedBytesPerSecond: number
}

export interface RateMeter {
  start(): void
  stop(): void
  /** All zero for a peer that nothing was exchanged with. */
  of(peer: string): PeerRate
}

interface Gauge extends PeerRate {
  readonly bytesSent: number
  readonly bytesReceived: number
}

const IDLE: PeerRate = {
  sentBytesPerSecond: 0,
  receivedBytesPerSecond: 0,
  maxSentBytesPerSecond: 0,
  maxReceivedBytesPerSecond: 0,
}

export function createRateMeter(
  { host, clock }: { readonly host: Pick<Host, 'traffic'>; readonly clock: Clock },
  { everyMs = 5000 }: { readonly everyMs?: number } = {},
): RateMeter {
  let gauges = new Map<string, Gauge>()
  let lastMs = clock.monotonicMs()
  let cancel: (() => void) | undefined

  function measure(): void {
    const seconds = (clock.monotonicMs() - lastMs) / 1000
    lastMs = clock.monotonicMs()
    const next = new Map<string, Gauge>()
    for (const { peer, bytesSent, bytesReceived } of host.traffic()) {
      const before = gauges.get(peer)
      // One that was forgotten meanwhile starts at what it shows; one that is new began at nothing since the last look.
      const isSound = seconds > 0 && bytesSent >= (before?.bytesSent ?? 0)
      const sent = isSound ? (bytesSent - (before?.bytesSent ?? 0)) / seconds : 0
      const received = isSound ? Math.max(0, bytesReceived - (before?.bytesReceived ?? 0)) / seconds : 0
      next.set(peer, {
        bytesSent,
        bytesReceived,
        sentBytesPerSecond: Math.round(sent),
        receivedBytesPerSecond: Math.round(received),
        maxSentBytesPerSecond: Math.max(before?.maxSentBytesPerSecond ?? 0, Math.round(sent)),
        maxReceivedBytesPerSecond: Math.max(before?.maxReceivedBytesPerSecond ?? 0, Math.round(received)),
      })
    }
    gauges = next
    again()
  }

  function again(): void {
    cancel = clock.after(everyMs, measure)
  }

  return {
    start() {
      if (cancel !== undefined) return
      lastMs = clock.monotonicMs()
      // What came before is no rate.
      for (const { peer, bytesSent, bytesReceived } of host.traffic()) {
        gauges.set(peer, { ...IDLE, bytesSent, bytesReceived })
      }
      again()
    },
    stop() {
      cancel?.()
    },
    of(peer) {
      const gauge = gauges.get(peer)
      if (gauge === undefined) return IDLE
      const { bytesSent: _, bytesReceived: __, ...rate } = gauge
      return rate
    },
  }
}
