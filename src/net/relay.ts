/**
 * Two members that cannot dial each other meet at a third that both are connected to (libp2p's circuit relay, version 2).
 * This owns both parts of a node in that: it relays for others, and asks others to relay for it. Who may is the gate's to
 * say. A relayed connection is encrypted and proven from end to end like any other: the relay sees what a wire sees.
 *
 * Bounded: reservations, connections relayed (of all, and on one connection), and what is held of each (relay-meter.ts).
 * The package's way to find relays by itself is not used: members are known, and reservations.ts chooses among them.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { CircuitRelayServerComponents, CircuitRelayTransportComponents } from '@libp2p/circuit-relay-v2'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import type { Connection, PeerId, Stream, StreamHandler, Transport } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import * as limits from './limits.ts'
import type { Membership, NetLog, RelayCounts } from './ports.ts'
import { createRelayMeters, type StreamMeter, spliceMeters } from './relay-meter.ts'
import { withParts } from './with-parts.ts'

type Registrar = CircuitRelayServerComponents['registrar']
type Guard = (handler: StreamHandler) => StreamHandler

export interface Relay {
  readonly transport: (components: CircuitRelayTransportComponents) => Transport
  readonly server: (components: CircuitRelayServerComponents) => unknown
  /** Asks a directly connected member to relay for us; renewed until the connection ends. @throws what libp2p says */
  reserve(peer: string): Promise<void>
  isReservedAt(peer: string): boolean
  /** Lets all reservations go. */
  release(): void
  counts(): RelayCounts
}

/** What is used of the package's store of the reservations that we hold. */
interface OwnReservations {
  addRelay(peer: PeerId, type: 'configured'): Promise<unknown>
  hasReservation(peer: PeerId): boolean
  cancelReservations(): void
}

export function createRelay({
  membership,
  clock,
  log,
}: {
  readonly membership: Membership
  readonly clock: Pick<Clock, 'after'>
  readonly log: NetLog
}): Relay {
  const meters = createRelayMeters({ clock })
  /** The stream of whoever asks, while its request is worked on: the package opens the other one within that. */
  const asking = new AsyncLocalStorage<StreamMeter>()
  let own: OwnReservations | undefined
  let reservations: { readonly size: number } | undefined
  let circuits = 0
  let bytes = 0
  const count = (sent: number): void => {
    bytes += sent
  }

  /** Streams that ask for a reservation, or to be connected; the latter stay open as long as what they carry. */
  const guardAsking: Guard = (handler) => (stream, connection) => {
    const peer = connection.remotePeer.toString()
    if (!membership.isMember(peer) || circuits >= limits.MAX_CIRCUITS) {
      log.info({ peer, circuits }, 'net.relay.refused')
      stream.abort(new MirrorError('refused', 'nothing is relayed', { facts: { peer } }))
      return undefined
    }
    if (stream.status !== 'open') return undefined
    circuits++
    stream.addEventListener('close', () => circuits--, { once: true })
    return asking.run(meters.meter(stream, count), () => handler(stream, connection))
  }

  /** Streams on which a relay says who asks for us: heeded only where we have asked for it. */
  const guardAsked: Guard = (handler) => (stream, connection) => {
    const peer = connection.remotePeer.toString()
    if (membership.isMember(peer) && own?.hasReservation(connection.remotePeer) === true) {
      return handler(stream, connection)
    }
    stream.abort(new MirrorError('refused', 'not a relay of ours', { facts: { peer } }))
    return undefined
  }

  const metered = (connection: Connection): Connection =>
    withParts(connection, {
      async newStream(protocols, options): Promise<Stream> {
        const stream = await connection.newStream(protocols, options)
        const source = asking.getStore()
        if (source !== undefined) spliceMeters(source, meters.meter(stream, count))
        return stream
      },
    })

  return {
    transport(components) {
      const { connectionManager, peerStore } = components
      const transport = circuitRelayTransport({
        reservationCompletionTimeout: limits.RESERVE_TIMEOUT_MS,
        maxInboundStopStreams: limits.MAX_CIRCUITS_PER_CONNECTION,
        maxOutboundStopStreams: limits.MAX_CIRCUITS_PER_CONNECTION,
      })(
        withParts(components, {
          registrar: quietRegistrar(components.registrar, guardAsked),
          // Its tags ask libp2p to dial a relay that went. Who is dialled is decided above.
          peerStore: withParts(peerStore, {
            merge: (peer, { tags: _tags, ...data }, options) => peerStore.merge(peer, data, options),
          }),
          connectionManager: withParts(connectionManager, {
            getConnections: (peer?: PeerId) => direct(connectionManager.getConnections(peer)),
          }),
        }),
      )
      own = (transport as Transport & { readonly reservationStore: OwnReservations }).reservationStore
      return transport
    },
    server(components) {
      const { connectionManager } = components
      const server = circuitRelayServer({
        hopTimeout: limits.RESERVE_TIMEOUT_MS,
        maxInboundHopStreams: limits.MAX_CIRCUITS_PER_CONNECTION,
        maxOutboundHopStreams: limits.MAX_CIRCUITS_PER_CONNECTION,
        maxOutboundStopStreams: limits.MAX_CIRCUITS_PER_CONNECTION,
        reservations: {
          maxReservations: limits.MAX_RESERVATIONS,
          reservationTtl: limits.RESERVATION_MS,
          // Members only: what is relayed is what the mesh is for, so there is no limit in bytes or time.
          applyDefaultLimit: false,
        },
      })(
        withParts(components, {
          registrar: quietRegistrar(components.registrar, guardAsking),
          connectionManager: withParts(connectionManager, {
            getConnections: (peer?: PeerId) => direct(connectionManager.getConnections(peer)).map(metered),
          }),
        }),
      )
      reservations = server.reservations
      return server
    },
    async reserve(peer) {
      await own?.addRelay(peerIdFromString(peer), 'configured')
    },
    isReservedAt: (peer) => own?.hasReservation(peerIdFromString(peer)) === true,
    release: () => own?.cancelReservations(),
    counts: () => ({ bytes, circuits, reservations: reservations?.size ?? 0, heldBytes: meters.heldBytes() }),
  }
}

/** Nothing is relayed over what is relayed. */
function direct(connections: readonly Connection[]): Connection[] {
  return connections.filter((connection) => connection.direct && connection.status === 'open')
}

/** Judges each stream, and never tells of peers that could relay. */
function quietRegistrar(registrar: Registrar, guard: Guard): Registrar {
  return withParts(registrar, {
    handle: (protocol, handler, options) => registrar.handle(protocol, guard(handler), options),
    register: () => Promise.resolve('none'),
    unregister: () => undefined,
  })
}
