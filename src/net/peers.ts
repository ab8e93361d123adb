/**
 * The connected members. A peer counts as connected from the moment it is known to have accepted us: at once when it
 * dialled, after the first answer when we did (a refusal may arrive after the handshake looked complete).
 */
import type { Connection, PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../base/clock.ts'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import { peerAddress, plainAddress, relayOf } from './address.ts'
import type { Gate } from './gate.ts'
import type { MeshNode } from './libp2p-node.ts'
import { DIAL_TIMEOUT_MS, DIRECT_FIRST_MS, MAX_TRACKED_PEERS } from './limits.ts'
import type { Membership, NetLog, PeerInfo } from './ports.ts'

/** After a connection ended beside another: by then both sides have noticed. */
const RENEW_MS = 500

export type PeerEvent = { readonly peer: string; readonly connected: boolean }

export interface Peers {
  /** Resolves when the peer has answered on a connection. */
  dial(
    peer: string,
    addresses: readonly string[],
    signal?: AbortSignal,
    options?: { readonly asGuest?: boolean },
  ): Promise<void>
  /** Whoever answers there, as a guest of theirs. @throws MirrorError `unreachable` | `timed-out` | `aborted` */
  dialAddress(address: string, signal?: AbortSignal): Promise<string>
  /** One more connection to a connected peer, where we know how to dial it. @throws MirrorError `unreachable` */
  dialAnother(peer: string, signal: AbortSignal): Promise<Connection>
  /** True when the peer has an open direct connection besides this one. */
  hasAnother(peer: string, connection: Connection): boolean
  /** The smallest round trip seen. */
  minRttMs(peer: string): number | undefined
  /** An open connection. @throws MirrorError `unreachable` without one */
  connection(peer: string): Connection
  all(): PeerInfo[]
  on(listener: (event: PeerEvent) => void): () => void
  disconnect(peer: string): Promise<void>
  enforceMembership(): Promise<void>
  stop(): void
}

export function trackPeers({
  node,
  gate,
  membership,
  clock,
  log,
}: {
  readonly node: MeshNode
  readonly gate: Gate
  readonly membership: Membership
  readonly clock: Clock
  readonly log: NetLog
}): Peers {
  const connected = new Map<string, { rttMs: number | undefined }>()
  const listeners = new Set<(event: PeerEvent) => void>()
  const ids = new Map<string, PeerId>()
  const renewals = new Set<() => void>()

  /** Parsing one, and printing it again to look it up, costs more than all else that is done with it. */
  const idOf = (peer: string): PeerId => {
    const known = ids.get(peer)
    if (known !== undefined) return known
    const id = peerIdFromString(peer)
    if (ids.size >= MAX_TRACKED_PEERS) ids.delete(ids.keys().next().value!)
    ids.set(peer, id)
    return id
  }
  const announce = (event: PeerEvent): void => {
    log.info(event, event.connected ? 'net.peer.connected' : 'net.peer.gone')
    for (const listener of listeners) listener(event)
  }
  const arrived = (peer: string, rttMs?: number): void => {
    const known = connected.get(peer)
    if (known !== undefined) {
      known.rttMs ??= rttMs
      return
    }
    if (!membership.isMember(peer) || connections(peer).length === 0) return
    connected.set(peer, { rttMs })
    announce({ peer, connected: true })
  }

  /** The open ones, those that are not relayed first. */
  const connections = (peer: string): Connection[] => {
    const open = node.getConnections(idOf(peer)).filter(({ status }) => status === 'open')
    return open.every(({ direct }) => direct)
      ? open
      : open.toSorted((a, b) => Number(b.direct) - Number(a.direct))
  }
  const hasDirect = (peer: string): boolean => connections(peer)[0]?.direct === true
  const isRelayed = (peer: string): boolean => connections(peer)[0]?.direct === false

  /** A direct connection makes the relayed ones needless. Streams on them end, and begin again on the direct one. */
  const closeRelayed = (peer: string, open = connections(peer)): void => {
    for (const connection of open) {
      if (connection.direct) continue
      log.info({ peer, relay: relayOf(plainAddress(connection.remoteAddr)) }, 'net.peer.direct')
      connection.close().catch((error: Error) => connection.abort(error))
    }
  }

  /** The first answer of a peer that we dialled. */
  const confirm = async (connection: Connection, signal: AbortSignal): Promise<void> => {
    const peer = connection.remotePeer.toString()
    if (connected.has(peer) && !connections(peer).some(({ direct }) => !direct)) return
    try {
      arrived(peer, await node.services.ping.ping(connection.remotePeer, { signal }))
    } catch (error) {
      connection.abort(error as Error)
      throw error
    }
    if (connection.direct) closeRelayed(peer)
  }

  const onOpen = ({ detail }: CustomEvent<Connection>): void => {
    gate.onOpen(detail)
    const peer = detail.remotePeer.toString()
    if (detail.direction === 'inbound') arrived(peer)
    // Whoever asked the relay ends it; a direct one that we dialled has to answer first.
    if (!connected.has(peer) || !hasDirect(peer)) return
    if (!detail.direct || detail.direction === 'inbound') {
      closeRelayed(
        peer,
        connections(peer).filter(({ direction }) => direction === 'outbound'),
      )
    }
  }
  const onClose = ({ detail }: CustomEvent<Connection>): void => {
    gate.onClose(detail)
    const peer = detail.remotePeer.toString()
    const others = connections(peer).filter((connection) => connection !== detail)
    const [other] = others
    if (other !== undefined) {
      // What gossip had on this one is over, when its end has been noticed everywhere.
      const cancel = clock.after(RENEW_MS, () => {
        renewals.delete(cancel)
        const [open] = connections(peer)
        if (open !== undefined && membership.isMember(peer)) gate.renew(open)
      })
      renewals.add(cancel)
    } else if (connected.delete(peer)) announce({ peer, connected: false })
  }
  node.addEventListener('connection:open', onOpen)
  node.addEventListener('connection:close', onClose)

  const close = async (peer: string): Promise<void> => {
    await Promise.all(
      connections(peer).map((connection) =>
        connection.close().catch((error: Error) => connection.abort(error)),
      ),
    )
  }

  /** Direct addresses first; then through those relays that are connected. */
  const connect = async (
    peer: string,
    addresses: readonly string[],
    signal: AbortSignal,
  ): Promise<Connection> => {
    const [open] = connections(peer)
    if (open?.direct === true) return open
    const targetsOf = (list: readonly string[]) => list.map((address) => peerAddress(peer, address))
    const direct = targetsOf(addresses.filter((address) => relayOf(address) === undefined))
    if (open !== undefined) {
      return direct.length === 0 ? open : node.dial(direct, { signal, force: true })
    }
    const relayed = addresses.filter((address) => hasDirect(relayOf(address) ?? peer))
    if (relayed.length === 0) {
      if (direct.length > 0) return node.dial(direct, { signal })
      throw new MirrorError('unreachable', `no relay of peer ${peer} is connected`, { facts: { peer } })
    }
    if (direct.length > 0) {
      const patience = deadlineSignal(clock, DIRECT_FIRST_MS, signal)
      try {
        return await node.dial(direct, { signal: patience.signal })
      } catch (error) {
        signal.throwIfAborted()
        log.debug({ peer, error: String(error) }, 'net.peer.not-direct')
      } finally {
        patience.cancel()
      }
    }
    return node.dial(targetsOf(relayed), { signal })
  }

  return {
    async dial(peer, addresses, signal, { asGuest = false } = {}) {
      if (connected.has(peer) && !isRelayed(peer)) return
      const deadline = deadlineSignal(clock, DIAL_TIMEOUT_MS, signal)
      const facts = { peer, addresses: addresses.join(' ') }
      try {
        if (addresses.length === 0) {
          throw new MirrorError('unreachable', `no address of peer ${peer} is known`, { facts })
        }
        const connection = await connect(peer, addresses, deadline.signal)
        // A guest is pinged by nobody: its first answer is the one to its claim.
        if (!asGuest) await confirm(connection, deadline.signal)
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        if (isMirrorError(error)) throw error
        throw dialError(error, peer, addresses, deadline.signal.aborted)
      } finally {
        deadline.cancel()
      }
    },
    async dialAddress(address, signal) {
      const deadline = deadlineSignal(clock, DIAL_TIMEOUT_MS, signal)
      try {
        const { remotePeer } = await node.dial(multiaddr(address), { signal: deadline.signal })
        return remotePeer.toString()
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        throw dialError(error, 'there', [address], deadline.signal.aborted)
      } finally {
        deadline.cancel()
      }
    },
    async dialAnother(peer, signal) {
      const id = idOf(peer)
      if (isRelayed(peer)) {
        throw new MirrorError('unreachable', `peer ${peer} is relayed`, { facts: { peer } })
      }
      const dialled = connections(peer)
        .filter(({ direct, direction }) => direct && direction === 'outbound')
        .map(({ remoteAddr }) => plainAddress(remoteAddr))
      // What it told of itself (identify), when it was the one who dialled.
      const told = dialled.length > 0 ? [] : (await node.peerStore.get(id)).addresses
      const addresses = [...dialled, ...told.map(({ multiaddr }) => plainAddress(multiaddr))].filter(
        (each) => relayOf(each) === undefined,
      )
      const [address] = addresses
      if (address === undefined) {
        throw new MirrorError('unreachable', `no address of peer ${peer} is known`, { facts: { peer } })
      }
      return node.dial(peerAddress(peer, address), { force: true, signal })
    },
    hasAnother: (peer, connection) => connections(peer).some((open) => open.direct && open !== connection),
    minRttMs(peer) {
      const known = [connected.get(peer)?.rttMs, ...connections(peer).map(({ rtt }) => rtt)]
      const measured = known.filter((rtt) => rtt !== undefined)
      return measured.length === 0 ? undefined : Math.min(...measured)
    },
    connection(peer) {
      const [connection] = connections(peer)
      if (connection !== undefined) return connection
      throw new MirrorError('unreachable', `not connected to peer ${peer}`, { facts: { peer } })
    },
    all() {
      return [...connected].flatMap(([peer, { rttMs }]) => {
        const open = connections(peer)
        const first = open[0]
        if (first === undefined) return []
        const latest = open.find((connection) => connection.rtt !== undefined)?.rtt ?? rttMs
        return {
          peer,
          direction: first.direction,
          addresses: [...new Set(open.map(({ remoteAddr }) => plainAddress(remoteAddr)))],
          ...(first.direct ? {} : { isRelayed: true }),
          ...(latest === undefined ? {} : { rttMs: latest }),
        }
      })
    },
    on(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    disconnect: close,
    async enforceMembership() {
      const strangers = node
        .getPeers()
        .map(String)
        .filter((peer) => !membership.isMember(peer))
      // Guests have their own limit in time; those who were members go now.
      await Promise.all(strangers.filter((peer) => connected.has(peer)).map(close))
    },
    stop() {
      node.removeEventListener('connection:open', onOpen)
      node.removeEventListener('connection:close', onClose)
      for (const cancel of renewals) cancel()
      listeners.clear()
      connected.clear()
    },
  }
}

function dialError(
  error: unknown,
  peer: string,
  addresses: readonly string[],
  isTimeout: boolean,
): MirrorError {
  const where = `${peer} (${addresses.join(', ')})`
  const facts = { peer, addresses: addresses.join(' ') }
  if (isTimeout) {
    return new MirrorError('timed-out', `cannot reach peer ${where}: no answer in time`, {
      facts,
      cause: error,
    })
  }
  const { name, message } = error as Error
  if (name === 'DialDeniedError' || name === 'ConnectionInterceptedError') {
    return new MirrorError('refused', `peer ${where} is not a member here`, { facts, cause: error })
  }
  const causes =
    error instanceof AggregateError ? error.errors.map((each: Error) => each.message).join('; ') : message
  return new MirrorError('unreachable', `cannot reach peer ${where}: ${causes}`, {
    facts,
    hint: 'Is the daemon running there, and is this node a member there?',
    cause: error,
  })
}

/** Fires after `timeoutMs`, or with `signal`. */
export function deadlineSignal(
  clock: Clock,
  timeoutMs: number,
  signal?: AbortSignal,
): { readonly signal: AbortSignal; cancel(): void } {
  const timeout = new AbortController()
  const cancel = clock.after(timeoutMs, () =>
    timeout.abort(new MirrorError('timed-out', 'no answer in time')),
  )
  return {
    signal: signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, signal]),
    cancel,
  }
}
