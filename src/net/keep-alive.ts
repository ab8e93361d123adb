/**
 * Finds the connections whose other end is gone, and measures round trips: by libp2p's ping, one connection after the other,
 * the one that was asked longest ago first. libp2p's own monitor asks all of them at once every so many seconds, which costs
 * a node of a hundred neighbours more than all else that it does when idle; here the rate of pings is bounded, and each
 * connection's turn comes more seldom the more there are. The first that does not answer makes the others' turn come at
 * once: what cut one off may have cut off many. Quiet connections are looked after by TCP's keep-alive beside it.
 *
 * Whoever waits for an answer on a connection has a time limit of its own.
 */
import { randomBytes } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import { PING_PROTOCOL } from '@libp2p/ping'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import type { MeshNode } from './libp2p-node.ts'
import { deadlineSignal } from './peers.ts'
import type { NetLog } from './ports.ts'

/** No connection is asked sooner than this after its last answer. */
const TURN_MS = 15_000
/** A ping costs each end about 600 bytes: it opens a stream. */
const PAUSE_MS = 5_000
/** Of so many connections and more. */
const MANY = 7
const LONG_PAUSE_MS = 10_000
/** Between those that have never been asked: their round trip is not known. */
const FRESH_PAUSE_MS = 200
/** A ping queues behind blocks, and so does each answer to its stream's opening: 5 s each where others have the path (path-pacer.ts). */
const TIMEOUT_MS = 60_000
const PING_BYTES = 32

export interface KeepAliveComponents {
  readonly node: Pick<MeshNode, 'getConnections'>
  readonly clock: Clock
  readonly log: NetLog
}

/** @returns the function that ends it */
export function keepAlive({ node, clock, log }: KeepAliveComponents): () => void {
  const askedMs = new WeakMap<Connection, number>()
  const asking = new Set<Connection>()
  const stopped = new AbortController()
  let cancel: (() => void) | undefined

  function look(): void {
    const open = node.getConnections().filter((connection) => connection.status === 'open')
    const due = open
      .filter((connection) => isDue(connection))
      .toSorted((a, b) => (askedMs.get(a) ?? 0) - (askedMs.get(b) ?? 0))
    if (due[0] !== undefined) void ask(due[0])
    const isFreshLeft = due.slice(1).some((connection) => !askedMs.has(connection))
    const pauseMs = open.length < MANY ? PAUSE_MS : LONG_PAUSE_MS
    cancel = clock.after(isFreshLeft ? FRESH_PAUSE_MS : pauseMs, look)
  }

  function isDue(connection: Connection): boolean {
    const lastMs = askedMs.get(connection)
    return !asking.has(connection) && (lastMs === undefined || clock.monotonicMs() - lastMs >= TURN_MS)
  }

  async function ask(connection: Connection): Promise<void> {
    askedMs.set(connection, clock.monotonicMs())
    asking.add(connection)
    try {
      connection.rtt = await ping(connection)
    } catch (error) {
      if (stopped.signal.aborted || connection.status !== 'open') return
      log.debug({ peer: connection.remotePeer.toString(), error: String(error) }, 'net.keep-alive.no-answer')
      connection.abort(error as Error)
      for (const other of node.getConnections()) if (other.status === 'open' && isDue(other)) void ask(other)
    } finally {
      asking.delete(connection)
    }
  }

  /** Milliseconds. One that does not speak ping has answered all the same. */
  async function ping(connection: Connection): Promise<number> {
    const deadline = deadlineSignal(clock, TIMEOUT_MS, stopped.signal)
    const { signal } = deadline
    const openedMs = clock.monotonicMs()
    let stream: Stream | undefined
    try {
      stream = await connection.newStream(PING_PROTOCOL, { signal, runOnLimitedConnection: true })
      const beganMs = clock.monotonicMs()
      await echo(stream, signal)
      const rttMs = clock.monotonicMs() - beganMs
      await stream.close({ signal })
      return rttMs
    } catch (error) {
      stream?.abort(error as Error)
      if ((error as Error).name === 'UnsupportedProtocolError') return (clock.monotonicMs() - openedMs) / 2
      throw error
    } finally {
      deadline.cancel()
    }
  }

  look()
  return () => {
    cancel?.()
    stopped.abort(new MirrorError('aborted', 'the host is stopping'))
  }
}

function echo(stream: Stream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = 0
    const fail = (): void => reject(signal.reason)
    const settle = (finish: () => void): void => {
      signal.removeEventListener('abort', fail)
      finish()
    }
    signal.addEventListener('abort', fail, { once: true })
    stream.addEventListener('message', ({ data }) => {
      received += data.byteLength
      if (received >= PING_BYTES) settle(resolve)
    })
    stream.addEventListener('close', () => settle(() => reject(new Error('the stream was closed'))))
    stream.send(randomBytes(PING_BYTES))
  })
}
