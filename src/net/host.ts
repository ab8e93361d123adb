/** The libp2p host of a node: starts it, wires its protocols to the ports of the layers above, and stops it. */

import type { Connection, Stream } from '@libp2p/interface'
import type { Clock } from '../base/clock.ts'
import { systemClock } from '../base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { abortable } from './abortable.ts'
import { addressGroup, dialableAddresses, hostPortToAddress, plainAddress } from './address.ts'
import { ASK_PROTOCOL, askPeer, questionServer } from './ask-protocol.ts'
import { BLOCKS_PROTOCOLS, blockAnswers, createBlockChannel } from './block-protocol.ts'
import { createBulkConnections } from './bulk-connections.ts'
import type { FrameStream } from './frame-stream.ts'
import { frameStream } from './frame-stream.ts'
import { createGate } from './gate.ts'
import type { GiveWaySettings } from './give-way.ts'
import { createGossip, gossipTopics } from './gossip.ts'
import { JOIN_PROTOCOL, serveClaim } from './join-protocol.ts'
import { JOIN_REQUEST_PROTOCOL, serveJoinRequest } from './join-request-protocol.ts'
import { createJoining } from './joining.ts'
import { keepAlive } from './keep-alive.ts'
import { createNode, startNode } from './libp2p-node.ts'
import * as limits from './limits.ts'
import { fetchObject, OBJECT_PROTOCOLS, objectAnswers } from './object-protocol.ts'
import { createPathPacer } from './path-pacer.ts'
import { deadlineSignal, trackPeers } from './peers.ts'
import type {
  Admission,
  Answerer,
  BlockChannel,
  BlockServer,
  Host,
  JoinRequests,
  Membership,
  NetLog,
  RecordExchange,
} from './ports.ts'
import { RECORDS_PROTOCOL, reconcileWith, serveReconciliation } from './record-protocol.ts'
import { createRelay } from './relay.ts'
import { createRequestBudget } from './request-budget.ts'
import type { RequestChannel } from './request-channel.ts'
import { createRequestChannel } from './request-channel.ts'
import type { RequestServer } from './request-server.ts'
import { serveRequests } from './request-server.ts'
import { keepReservations } from './reservations.ts'
import { createStripedChannel } from './striped-channel.ts'
import { createTraffic } from './traffic.ts'
import { serveWatch, WATCH_PROTOCOL, watchPeer } from './watch-protocol.ts'
import { ASK_TO_CLIENT, ASK_TO_SERVER } from './wire/ask.ts'
import { BLOCKS_TO_CLIENT, BLOCKS_TO_SERVER } from './wire/blocks.ts'
import type { FrameLimits } from './wire/frame.ts'
import { JOIN_TO_SERVER } from './wire/join.ts'
import { JOIN_REQUEST_TO_SERVER } from './wire/join-request.ts'
import { OBJECT_TO_CLIENT, OBJECT_TO_SERVER } from './wire/object.ts'
import { RECORDS_FRAMES } from './wire/records.ts'
import { WATCH_TO_CLIENT, WATCH_TO_SERVER } from './wire/watch.ts'

export type { BlockChannel, Host } from './ports.ts'

export interface HostComponents {
  /** 32-byte Ed25519 seed of the node's key. */
  readonly keySeed: Uint8Array
  /** Id of the mesh (CID of its genesis record): names the gossip topics. */
  readonly mesh: Cid
  readonly membership: Membership
  readonly records: RecordExchange
  readonly admission: Admission
  /** Undefined: nobody can ask to join here. */
  readonly joinRequests?: JoinRequests | undefined
  readonly blockServer: BlockServer
  readonly answerer?: Answerer | undefined
  /** Peers on whose path other traffic is given way to; nobody when undefined. */
  readonly isFar?: (peer: string) => boolean
  /** What the narrowest pipe on the way from the peer is said to carry, bytes a second. */
  readonly declaredRate?: (peer: string) => number | undefined
  readonly clock: Clock
  readonly log?: NetLog
}

export interface HostOptions {
  /** `host:port` each (IPv6 in brackets, port 0 for any free one); empty: dials only. */
  readonly listen: readonly string[]
  /** `host:port` that others shall dial (a DNS name is fine); without it, the addresses listened on. */
  readonly announce?: readonly string[]
  /** False while this node cannot be dialled from outside: members relay for it, and it relays for nobody. Asked often. */
  readonly isReachable?: () => boolean
  /** Encryptions offered, best first. Both sides need one in common. */
  readonly security?: readonly ('noise' | 'tls')[]
  /** Undefined: to nobody. */
  readonly giveWay?: GiveWaySettings | undefined
}

interface ServedProtocol {
  readonly accept: FrameLimits
  readonly maxStreams: number
  /** True for those of newcomers: strangers may use them. */
  readonly isOpenToGuests?: boolean
  /** What the peer sends may be much. */
  readonly isBulk?: boolean
  readonly idleTimeoutMs?: () => number
  serve(frames: FrameStream, peer: string, address: string): Promise<void>
}

const silent: NetLog = { debug: () => undefined, info: () => undefined, warn: () => undefined }

/** @throws MirrorError `invalid` for an address, `io` and others when it cannot listen */
export async function startHost(
  {
    keySeed,
    mesh,
    membership,
    records,
    admission,
    joinRequests,
    blockServer,
    answerer,
    isFar = () => false,
    declaredRate = () => undefined,
    clock,
    log = silent,
  }: HostComponents,
  { listen, announce = [], isReachable = () => true, security = ['tls', 'noise'], giveWay }: HostOptions,
): Promise<Host> {
  const gate = createGate({ membership, clock, log, mayRelay: isReachable })
  const relay = createRelay({ membership, clock, log })
  const topics = gossipTopics(mesh)
  const pacer = createPathPacer({ clock, isFar }, giveWay)
  const node = await createNode(
    { keySeed, gate, membership, topics, relay, pacer },
    { listen: listen.map(hostPortToAddress), announce: announce.map(hostPortToAddress), security },
  )
  const traffic = createTraffic()
  const budget = createRequestBudget()
  const peers = trackPeers({ node, gate, membership, clock, log })
  const bulk = createBulkConnections({ peers, pathTo: pacer.pathTo, declaredRate, clock, log })
  const objectChannels = new Map<string, RequestChannel>()
  const blockChannels = new Map<string, Set<BlockChannel>>()
  const serving = new Set<Promise<void>>()

  /** A stream of ours to a connected peer. */
  const open = async (
    peer: string,
    /** The best first; the peer speaks one of them. */
    protocol: string | readonly string[],
    accept: FrameLimits,
    {
      signal,
      answerTimeoutMs,
      lane = 0,
    }: { signal?: AbortSignal | undefined; answerTimeoutMs?: number; lane?: number } = {},
  ): Promise<FrameStream> => {
    const deadline = deadlineSignal(clock, limits.OPEN_STREAM_TIMEOUT_MS, signal)
    try {
      const stream = await (lane === 0 ? peers.connection(peer) : bulk.connection(peer, lane)).newStream(
        [protocol].flat(),
        {
          signal: deadline.signal,
        },
      )
      return frameStream(
        { stream, clock, counter: traffic.stream(peer, stream.protocol) },
        {
          accept,
          ...(answerTimeoutMs === undefined ? {} : { idleTimeoutMs: () => answerTimeoutMs }),
        },
      )
    } catch (error) {
      signal?.throwIfAborted()
      if (isMirrorError(error)) throw error
      throw new MirrorError('unreachable', `peer ${peer} does not open ${[protocol].flat()[0]}`, {
        facts: { peer },
        cause: error,
      })
    } finally {
      deadline.cancel()
    }
  }

  const serve = (protocol: string, served: ServedProtocol): Promise<void> =>
    node.handle(
      protocol,
      (stream: Stream, connection: Connection) => {
        const peer = connection.remotePeer.toString()
        if (
          !membership.isMember(peer) &&
          !(served.isOpenToGuests === true && membership.acceptsGuests(peer))
        ) {
          stream.abort(new MirrorError('refused', 'members only', { facts: { peer } }))
          return
        }
        const { accept, idleTimeoutMs } = served
        if (served.isBulk !== true) limitWindow(stream)
        const frames = frameStream(
          { stream, clock, counter: traffic.stream(peer, protocol) },
          {
            accept,
            firstFrameTimeoutMs: limits.FIRST_FRAME_TIMEOUT_MS,
            ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
          },
        )
        const done = served
          .serve(frames, peer, addressGroup(plainAddress(connection.remoteAddr)))
          .catch((error: unknown) => {
            log.debug({ peer, protocol, error: String(error) }, 'net.stream.ended')
            frames.abort(error as Error)
          })
          .finally(() => serving.delete(done))
        serving.add(done)
      },
      { maxInboundStreams: served.maxStreams, maxOutboundStreams: served.maxStreams },
    )

  const serveRequestsOf = <T>(
    accept: FrameLimits,
    server: (peer: string) => RequestServer<T>,
  ): ServedProtocol => ({
    accept,
    maxStreams: limits.MAX_CHANNELS_PER_PEER,
    serve: (frames, peer) => serveRequests({ frames, budget, log }, peer, server(peer)),
    idleTimeoutMs: () => limits.IDLE_STREAM_TIMEOUT_MS,
  })

  for (const protocol of BLOCKS_PROTOCOLS) {
    await serve(
      protocol,
      serveRequestsOf(BLOCKS_TO_SERVER, (peer) =>
        blockAnswers({ blockServer, counter: () => traffic.of(peer) }, peer, protocol),
      ),
    )
  }
  for (const protocol of OBJECT_PROTOCOLS) {
    await serve(
      protocol,
      serveRequestsOf(OBJECT_TO_SERVER, (peer) => objectAnswers(blockServer, peer, protocol)),
    )
  }
  await serve(WATCH_PROTOCOL, {
    accept: WATCH_TO_SERVER,
    maxStreams: limits.MAX_WATCHES_PER_PEER,
    serve: (frames, peer) => serveWatch({ frames, blockServer, log }, peer),
  })
  await serve(RECORDS_PROTOCOL, {
    accept: RECORDS_FRAMES,
    maxStreams: 2,
    isBulk: true,
    idleTimeoutMs: () => limits.FRAME_TIMEOUT_MS,
    serve: (frames, peer) => serveReconciliation(frames, records, peer),
  })
  await serve(ASK_PROTOCOL, {
    accept: ASK_TO_SERVER,
    maxStreams: 4,
    serve: questionServer({ answerer, clock, log }),
  })
  await serve(JOIN_PROTOCOL, {
    accept: JOIN_TO_SERVER,
    maxStreams: 1,
    isOpenToGuests: true,
    serve: (frames, peer) => serveClaim({ frames, admission, log }, peer, mesh),
  })
  if (joinRequests !== undefined) {
    await serve(JOIN_REQUEST_PROTOCOL, {
      accept: JOIN_REQUEST_TO_SERVER,
      maxStreams: 1,
      isOpenToGuests: true,
      idleTimeoutMs: () => limits.FIRST_FRAME_TIMEOUT_MS,
      serve: (frames, peer, address) =>
        serveJoinRequest({ frames, requests: joinRequests, log }, { peer, address }, mesh),
    })
  }
  await startNode(node, listen)
  // In real time, as the timers of libp2p itself: a virtual minute is too short for an answer.
  const endKeepAlive = keepAlive({ node, clock: systemClock, log })
  const gossip = createGossip({ pubsub: node.services.gossip, membership, records, clock, log }, topics)

  const reservations = keepReservations({ relay, peers, clock, log }, isReachable)

  const joining = createJoining({ gate, peers, self: node.peerId.toString(), open })

  const closeChannels = (peer: string): void => {
    objectChannels.get(peer)?.close()
    objectChannels.delete(peer)
    for (const channel of [...(blockChannels.get(peer) ?? [])]) channel.close()
  }
  peers.on(({ peer, connected }) => {
    if (!connected) closeChannels(peer)
  })

  return {
    peerId: node.peerId.toString(),
    addresses: () => [
      ...dialableAddresses(node.getMultiaddrs().map(plainAddress)),
      ...reservations.addresses(),
    ],
    onAddresses: (listener) => reservations.onChange(listener),
    dial: (peer, addresses, signal) => peers.dial(peer, addresses, signal),
    peers: () => peers.all(),
    onPeer: (listener) => peers.on(listener),
    publishRecord: (record) => gossip.publishRecord(record),
    publishStatus: (status) => gossip.publishStatus(status),
    onStatus: (listener) => gossip.onStatus(listener),
    async ask(peer, question, signal) {
      const frames = await open(peer, ASK_PROTOCOL, ASK_TO_CLIENT, {
        signal,
        answerTimeoutMs: limits.ANSWER_STALL_TIMEOUT_MS,
      })
      return await abortable(frames, signal, () => askPeer(frames, question, peer))
    },
    async reconcile(peer, signal) {
      const frames = await open(peer, RECORDS_PROTOCOL, RECORDS_FRAMES, {
        signal,
        answerTimeoutMs: limits.FRAME_TIMEOUT_MS,
      })
      return await abortable(frames, signal, () => reconcileWith(frames, records, peer))
    },
    ...joining,
    fetchObject(peer, request, signal) {
      let channel = objectChannels.get(peer)
      if (channel === undefined) {
        channel = createRequestChannel({
          clock,
          open: (opening) => open(peer, OBJECT_PROTOCOLS, OBJECT_TO_CLIENT, { signal: opening }),
        })
        objectChannels.set(peer, channel)
      }
      return fetchObject(channel, peer, request, signal)
    },
    openBlocks(peer) {
      const channels = blockChannels.get(peer) ?? new Set()
      if (channels.size >= limits.MAX_CHANNELS_PER_PEER) {
        throw new MirrorError('limit', `${channels.size} block channels to peer ${peer} are open`, {
          facts: { peer },
        })
      }
      const endUse = bulk.use(peer)
      const channel = createStripedChannel(peer, {
        lanes: () => bulk.lanes(peer),
        openLane(lane) {
          const requests = createRequestChannel({
            clock,
            open: (opening) => open(peer, BLOCKS_PROTOCOLS, BLOCKS_TO_CLIENT, { signal: opening, lane }),
          })
          return createBlockChannel({ requests, counter: () => traffic.of(peer) }, peer)
        },
        onReceived: (bytes) => bulk.received(peer, bytes),
        onIdle: () => bulk.idle(peer),
        onClose() {
          if (!channels.delete(channel)) return
          if (channels.size === 0) blockChannels.delete(peer)
          endUse()
        },
      })
      blockChannels.set(peer, channels.add(channel))
      return channel
    },
    watch: (peer, request, signal) =>
      watchPeer(() => open(peer, WATCH_PROTOCOL, WATCH_TO_CLIENT, { signal }), request, signal),
    disconnect: (peer) => peers.disconnect(peer),
    enforceMembership: () => peers.enforceMembership(),
    traffic: () => traffic.all(),
    protocols: () => traffic.protocols(),
    relayed: () => relay.counts(),
    paths: () => pacer.paths(),
    pathTo: (peer) => pacer.pathTo(peer),
    giveWay: (settings) => pacer.change(settings),
    async stop() {
      for (const peer of [...objectChannels.keys(), ...blockChannels.keys()]) closeChannels(peer)
      gate.stop()
      reservations.stop()
      bulk.stop()
      pacer.stop()
      endKeepAlive()
      try {
        await node.stop()
      } catch (error) {
        log.warn({ error: asMirrorError(error, 'stop').message }, 'net.stop.failed')
      }
      peers.stop()
      // A read of the layers above that heeds no signal must not hold up the end.
      const patience = deadlineSignal(clock, limits.STOP_TIMEOUT_MS)
      const gaveUp = new Promise<void>((resolve) => {
        patience.signal.addEventListener('abort', () => resolve(), { once: true })
      })
      await Promise.race([Promise.all(serving), gaveUp])
      patience.cancel()
    },
  }
}

/**
 * yamux doubles a stream's window whenever what came was read quickly, and remembers it when it no longer is: of a few hundred streams
 * a peer could have this node hold gigabytes. There is no option for some of the streams alone.
 */
function limitWindow(stream: Stream): void {
  const muxed = stream as { maxStreamWindowSize?: number }
  if (muxed.maxStreamWindowSize !== undefined) muxed.maxStreamWindowSize = limits.MAX_SERVED_WINDOW_BYTES
}
