/**
 * Who gets in. A connection is judged when its key is proven, before anything else is said on it: members may stay;
 * while an invite is open, or requests to join are taken, strangers may come as guests, a few at a time and for a short time. Every stream is judged
 * again, so that a guest reaches the two protocols of newcomers only, and a revoked member nothing. All bounds on streams are for one
 * connection, so the connections of one peer are bounded here.
 */
import type { GossipSubComponents } from '@libp2p/gossipsub'
import type {
  Connection,
  ConnectionGater,
  MultiaddrConnection,
  PeerId,
  StreamHandler,
  Topology,
} from '@libp2p/interface'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import { addressGroup, plainAddress } from './address.ts'
import {
  GUEST_TIMEOUT_MS,
  MAX_GUESTS,
  MAX_GUESTS_PER_ADDRESS,
  MAX_INBOUND_PER_PEER,
  MAX_PENDING_PER_ADDRESS,
} from './limits.ts'
import type { Membership, NetLog } from './ports.ts'

type Registrar = GossipSubComponents['registrar']

export interface Gate {
  readonly gater: ConnectionGater
  /** The registrar as libp2p's own services get it: strangers are not announced to them, and reach none of their handlers. */
  guard(registrar: Registrar): Registrar
  /** To be told of each connection; a guest's is closed when its time is over. */
  onOpen(connection: Connection): void
  onClose(connection: Connection): void
  /** Offers a peer once more to libp2p's own services: what they had on a connection that ended begins again on this one. */
  renew(connection: Connection): void
  /**
   * Lets this node connect to `peer`, who is not a member of anything known, until the function returned is called;
   * to anybody when it is undefined.
   */
  allowOutbound(peer: string | undefined): () => void
  /** Forgets the timers. */
  stop(): void
}

export function createGate(
  {
    membership,
    clock,
    log,
    mayRelay = () => true,
  }: {
    readonly membership: Membership
    readonly clock: Clock
    readonly log: NetLog
    /** Whether this node connects others through itself. */
    readonly mayRelay?: () => boolean
  },
  { guestTimeoutMs = GUEST_TIMEOUT_MS } = {},
): Gate {
  const guests = new Map<Connection, () => void>()
  const allowed = new Map<string | undefined, number>()
  const topologies = new Set<Topology>()
  /** Inbound ones of each peer, the oldest first. */
  const inbound = new Map<string, Set<Connection>>()
  /** Of each address the inbound ones whose keys are not proven yet: libp2p bounds how many there are in all. */
  const pending = new Map<string, Set<string>>()

  const settle = (remoteAddr: Connection['remoteAddr']): void => {
    const group = addressGroup(plainAddress(remoteAddr))
    const ofGroup = pending.get(group)
    if (ofGroup?.delete(remoteAddr.toString()) === true && ofGroup.size === 0) pending.delete(group)
  }

  const tooManyPending = (connection: MultiaddrConnection): boolean => {
    const { remoteAddr } = connection
    const group = addressGroup(plainAddress(remoteAddr))
    const ofGroup = pending.get(group) ?? new Set()
    if (ofGroup.size >= MAX_PENDING_PER_ADDRESS) {
      log.debug({ address: group }, 'net.gate.too-many-pending')
      return true
    }
    pending.set(group, ofGroup.add(remoteAddr.toString()))
    connection.addEventListener('close', () => settle(remoteAddr), { once: true })
    return false
  }

  const denies = (peer: string, direction: 'inbound' | 'outbound'): boolean => {
    if (membership.isMember(peer)) return false
    if (direction === 'outbound') return !allowed.has(peer) && !allowed.has(undefined)
    if (membership.acceptsGuests(peer) && guests.size < MAX_GUESTS) return false
    log.info({ peer }, 'net.gate.refused')
    return true
  }

  const addressOf = ({ remoteAddr }: Connection): string => addressGroup(plainAddress(remoteAddr))
  const guestsAt = (connection: Connection): number => {
    const address = addressOf(connection)
    return [...guests.keys()].filter((guest) => addressOf(guest) === address).length
  }

  const areMembers = (...peers: readonly PeerId[]): boolean =>
    peers.every((peer) => membership.isMember(peer.toString()))

  return {
    gater: {
      denyDialPeer: (peer) => denies(peer.toString(), 'outbound'),
      denyInboundConnection: tooManyPending,
      denyInboundEncryptedConnection: (peer, { remoteAddr }) => {
        settle(remoteAddr)
        return denies(peer.toString(), 'inbound')
      },
      denyOutboundEncryptedConnection: (peer) => denies(peer.toString(), 'outbound'),
      // A relay looks at both ends; who is asked for through one, at the relay and at the other end.
      denyInboundRelayReservation: (peer) => !mayRelay() || !areMembers(peer),
      denyOutboundRelayedConnection: (from, to) => !mayRelay() || !areMembers(from, to),
      denyInboundRelayedConnection: (relay, from) => !areMembers(relay, from),
    },
    guard: (registrar) => guardRegistrar(registrar, (peer) => membership.isMember(peer), topologies),
    renew(connection) {
      for (const topology of topologies) void topology.onConnect?.(connection.remotePeer, connection)
    },
    onOpen(connection) {
      if (connection.direction === 'outbound') return
      const peer = connection.remotePeer.toString()
      const open = (inbound.get(peer) ?? new Set()).add(connection)
      inbound.set(peer, open)
      const [oldest] = open
      if (open.size > MAX_INBOUND_PER_PEER && oldest !== undefined) {
        log.info({ peer, connections: open.size }, 'net.gate.too-many-connections')
        oldest.abort(new MirrorError('limit', 'a peer has too many connections'))
      }
      if (membership.isMember(peer)) return
      // Many may have been on their way in when there was room for one.
      if (guests.size >= MAX_GUESTS || guestsAt(connection) >= MAX_GUESTS_PER_ADDRESS) {
        connection.abort(new MirrorError('limit', 'there are too many guests'))
        return
      }
      const cancel = clock.after(guestTimeoutMs, () => {
        guests.delete(connection)
        if (!membership.isMember(peer)) connection.abort(new MirrorError('timed-out', 'the visit is over'))
      })
      guests.set(connection, cancel)
    },
    onClose(connection) {
      guests.get(connection)?.()
      guests.delete(connection)
      const peer = connection.remotePeer.toString()
      const open = inbound.get(peer)
      if (open?.delete(connection) === true && open.size === 0) inbound.delete(peer)
    },
    allowOutbound(peer) {
      allowed.set(peer, (allowed.get(peer) ?? 0) + 1)
      return () => {
        const left = (allowed.get(peer) ?? 1) - 1
        if (left === 0) allowed.delete(peer)
        else allowed.set(peer, left)
      }
    },
    stop() {
      for (const cancel of guests.values()) cancel()
      guests.clear()
    },
  }
}

/** Not by libp2p's stream middleware: its chain of a protocol grows by a copy of the handler with every stream. */
function guardRegistrar(
  registrar: Registrar,
  isMember: (peer: string) => boolean,
  topologies: Set<Topology>,
): Registrar {
  const guardHandler =
    (handler: StreamHandler): StreamHandler =>
    (stream, connection) => {
      const peer = connection.remotePeer.toString()
      if (isMember(peer)) return handler(stream, connection)
      stream.abort(new MirrorError('refused', 'members only', { facts: { peer } }))
      return undefined
    }
  const guardTopology = (topology: Topology): Topology => {
    const onConnect = topology.onConnect?.bind(topology)
    if (onConnect === undefined) return topology
    return {
      ...topology,
      onConnect: (peer, connection) => (isMember(peer.toString()) ? onConnect(peer, connection) : undefined),
    }
  }
  return {
    getProtocols: () => registrar.getProtocols(),
    getHandler: (protocol) => registrar.getHandler(protocol),
    getTopologies: (protocol) => registrar.getTopologies(protocol),
    getMiddleware: (protocol) => registrar.getMiddleware(protocol),
    handle: (protocol, handler, options) => registrar.handle(protocol, guardHandler(handler), options),
    unhandle: (protocols, options) => registrar.unhandle(protocols, options),
    register(protocol, topology) {
      const guarded = guardTopology(topology)
      topologies.add(guarded)
      return registrar.register(protocol, guarded)
    },
    unregister: (id) => registrar.unregister(id),
    use: (protocol, middleware) => registrar.use(protocol, middleware),
    unuse: (protocol) => registrar.unuse(protocol),
  }
}
