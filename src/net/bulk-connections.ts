/**
 * The further connections over which blocks of one peer travel, where stripe-control.ts finds that they help. Each is dialled and
 * proven like the first (same key, same gate). They belong to all block channels of the peer and go when none is open, or when
 * nothing was asked for a while. A peer that cannot be dialled has none.
 */
import type { Connection } from '@libp2p/interface'
import { PING_PROTOCOL } from '@libp2p/ping'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import { BULK_IDLE_MS, DIAL_TIMEOUT_MS } from './limits.ts'
import type { Peers } from './peers.ts'
import { deadlineSignal } from './peers.ts'
import type { NetLog } from './ports.ts'
import type { PathSigns, StripeControl } from './stripe-control.ts'
import { createStripeControl } from './stripe-control.ts'

export interface BulkConnections {
  /** How many lanes a channel to the peer may have now. */
  lanes(peer: string): number
  /** The connection of lane 1 and up. @throws MirrorError `unreachable` */
  connection(peer: string, lane: number): Connection
  received(peer: string, bytes: number): void
  /** Nothing is asked of the peer any more, for now. */
  idle(peer: string): void
  /** A channel to the peer was opened; the function returned is for its end. */
  use(peer: string): () => void
  stop(): void
}

const RTT_SAMPLES = 4
/** A connection that is no longer wanted stays for what is on its way, for so long at most. */
const DRAIN_MS = 30_000
const DRAIN_LOOK_MS = 250
/** Share of the time that this thread works: above it more connections would bring nothing but the work of making them. */
const BUSY_SHARE = 0.75
const BUSY_SAMPLE_MS = 1000

interface Bulk {
  readonly control: StripeControl
  readonly extras: Connection[]
  users: number
  isOpening: boolean
  /** Extras that may be used while more are being opened. */
  ready: number
  cancelIdle: (() => void) | undefined
}

export function createBulkConnections({
  peers,
  pathTo,
  declaredRate,
  clock,
  log,
}: {
  readonly peers: Peers
  readonly pathTo: (peer: string) => PathSigns | undefined
  readonly declaredRate: (peer: string) => number | undefined
  readonly clock: Clock
  readonly log: NetLog
}): BulkConnections {
  const bulks = new Map<string, Bulk>()
  const load = createLoad(clock)

  const open = (extras: readonly Connection[]): Connection[] =>
    extras.filter((connection) => connection.status === 'open')

  const grow = async (peer: string, bulk: Bulk, wanted: number): Promise<void> => {
    bulk.isOpening = true
    const deadline = deadlineSignal(clock, DIAL_TIMEOUT_MS)
    let rttMs = Number.POSITIVE_INFINITY
    try {
      bulk.extras.splice(0, bulk.extras.length, ...open(bulk.extras))
      bulk.ready = bulk.extras.length
      let measured: Promise<number> | undefined
      while (bulk.users > 0 && 1 + bulk.extras.length < wanted) {
        const connection = await peers.dialAnother(peer, deadline.signal)
        // On the first: on those that follow the queue would be one of their own.
        measured ??= roundTripMs(connection, deadline.signal).catch(() => Number.POSITIVE_INFINITY)
        bulk.extras.push(connection)
        // Each takes some round trips until it is there: what is there is used.
        bulk.ready = bulk.extras.length
      }
      rttMs = (await measured) ?? rttMs
    } catch (error) {
      log.debug({ peer, error: String(error) }, 'net.bulk.failed')
    } finally {
      deadline.cancel()
      bulk.isOpening = false
    }
    bulk.control.opened(1 + open(bulk.extras).length, rttMs, clock.monotonicMs())
    log.info({ peer, connections: 1 + open(bulk.extras).length, rttMs }, 'net.bulk.opened')
    if (bulk.users === 0) shrink(peer, bulk, 1)
  }

  /** To open a stream takes one. The smallest of a few: a busy thread adds to any of them. */
  const roundTripMs = async (connection: Connection, signal: AbortSignal): Promise<number> => {
    let smallestMs = Number.POSITIVE_INFINITY
    for (let i = 0; i < RTT_SAMPLES; i++) {
      const beganMs = clock.monotonicMs()
      const stream = await connection.newStream(PING_PROTOCOL, { signal })
      smallestMs = Math.min(smallestMs, clock.monotonicMs() - beganMs)
      await stream.close({ signal })
    }
    return smallestMs
  }

  const shrink = (peer: string, bulk: Bulk, wanted: number): void => {
    if (1 + bulk.extras.length > wanted) log.info({ peer, connections: wanted }, 'net.bulk.closed')
    for (const connection of bulk.extras.splice(Math.max(0, wanted - 1))) {
      closeWhenIdle(peer, connection, clock.monotonicMs() + DRAIN_MS)
    }
  }

  /** What is on its way over it would have to be sent again. */
  const closeWhenIdle = (peer: string, connection: Connection, untilMs: number): void => {
    // The last one of a peer is no spare: the others ended before it.
    if (connection.status !== 'open' || !peers.hasAnother(peer, connection)) return
    if (connection.streams.length > 0 && clock.monotonicMs() < untilMs)
      clock.after(DRAIN_LOOK_MS, () => closeWhenIdle(peer, connection, untilMs))
    else connection.close().catch((error: Error) => connection.abort(error))
  }

  return {
    lanes(peer) {
      const bulk = bulks.get(peer)
      return bulk === undefined ? 1 : 1 + (bulk.isOpening ? bulk.ready : bulk.extras.length)
    },
    connection(peer, lane) {
      const connection = bulks.get(peer)?.extras[lane - 1]
      if (connection?.status === 'open') return connection
      throw new MirrorError('unreachable', `no further connection to peer ${peer}`, { facts: { peer } })
    },
    received(peer, bytes) {
      const bulk = bulks.get(peer)
      if (bulk === undefined) return
      bulk.cancelIdle?.()
      bulk.cancelIdle = undefined
      const nowMs = clock.monotonicMs()
      load.look(nowMs)
      const wanted = bulk.control.received(bytes, nowMs)
      if (bulk.isOpening) return
      if (wanted > 1 + bulk.extras.length) void grow(peer, bulk, wanted)
      else if (wanted < 1 + bulk.extras.length) shrink(peer, bulk, wanted)
    },
    idle(peer) {
      const bulk = bulks.get(peer)
      if (bulk === undefined) return
      bulk.control.idle()
      bulk.cancelIdle?.()
      bulk.cancelIdle = clock.after(BULK_IDLE_MS, () => {
        if (bulk.isOpening) return
        bulk.control.reset()
        shrink(peer, bulk, 1)
      })
    },
    use(peer) {
      const bulk = bulks.get(peer) ?? {
        control: createStripeControl(() => peers.minRttMs(peer), {
          isBusy: () => load.share() > BUSY_SHARE,
          path: () => pathTo(peer),
          declaredRate: () => declaredRate(peer),
        }),
        extras: [],
        users: 0,
        isOpening: false,
        ready: 0,
        cancelIdle: undefined,
      }
      bulks.set(peer, bulk)
      bulk.users++
      return () => {
        if (--bulk.users > 0) return
        bulk.cancelIdle?.()
        bulks.delete(peer)
        shrink(peer, bulk, 1)
      }
    },
    stop() {
      for (const { cancelIdle } of bulks.values()) cancelIdle?.()
      bulks.clear()
    },
  }
}

/** The share of the last second or so in which this thread worked; to be looked at often. */
function createLoad(clock: Clock) {
  let sample = performance.eventLoopUtilization()
  let sampledMs = clock.monotonicMs()
  let share = 0
  return {
    look(nowMs: number): void {
      if (nowMs - sampledMs < BUSY_SAMPLE_MS) return
      const next = performance.eventLoopUtilization()
      share = performance.eventLoopUtilization(next, sample).utilization
      sample = next
      sampledMs = nowMs
    },
    share: () => share,
  }
}
