/**
 * The libp2p node under a host: TCP, TLS or noise, yamux, gossip, relaying by members, and nothing that finds or
 * routes: peers are known from the mesh's records. Limits are raised where the defaults are for the open internet, and lowered where they
 * are for strangers.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { GossipSub, GossipSubComponents } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { asMirrorError } from '../base/errors.ts'
import type { Gate } from './gate.ts'
import type { GossipTopics } from './gossip.ts'
import { gossipService } from './gossip.ts'
import * as limits from './limits.ts'
import type { PathPacer } from './path-pacer.ts'
import type { Membership } from './ports.ts'
import type { Relay } from './relay.ts'
import { directTls } from './tls.ts'
import { withParts } from './with-parts.ts'

type Registrar = GossipSubComponents['registrar']

export type MeshNode = Libp2p<{ gossip: GossipSub; ping: Ping }>

export interface NodeOptions {
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly security: readonly ('noise' | 'tls')[]
}

/** The kernel's probes are cheaper than pings: a machine that lost its power is found within a minute on a quiet connection. */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 30_000 }

/** Not started yet. @param keySeed 32 bytes */
export async function createNode(
  {
    keySeed,
    gate,
    membership,
    topics,
    relay,
    pacer,
  }: {
    readonly keySeed: Uint8Array
    readonly gate: Gate
    readonly membership: Membership
    readonly topics: GossipTopics
    readonly relay: Relay
    readonly pacer: PathPacer
  },
  { listen, announce, security }: NodeOptions,
): Promise<MeshNode> {
  const guarded =
    <C extends { readonly registrar: Registrar }, S>(service: (components: C) => S) =>
    (components: C): S =>
      service(withParts(components, { registrar: gate.guard(components.registrar) } as Partial<C>))
  const node = await createLibp2p({
    start: false,
    privateKey: await generateKeyPairFromSeed('Ed25519', keySeed),
    nodeInfo: { name: 'mirrormesh', userAgent: 'mirrormesh' },
    addresses: { listen: [...listen], announce: [...announce] },
    transports: [tcp({ dialOpts: KEEP_ALIVE, listenOpts: KEEP_ALIVE }), relay.transport],
    connectionEncrypters: security.map((kind) => (kind === 'tls' ? directTls(pacer.add) : noise())),
    streamMuxers: [
      yamux({
        maxInboundStreams: 512,
        maxOutboundStreams: 512,
        streamOptions: {
          initialStreamWindowSize: limits.WRITE_UNIT_BYTES,
          maxStreamWindowSize: limits.MAX_STREAM_WINDOW_BYTES,
          maxReadBufferLength: limits.MAX_STREAM_WINDOW_BYTES + limits.MIB,
        },
      }),
    ],
    connectionGater: gate.gater,
    connectionManager: {
      maxConnections: limits.MAX_CONNECTIONS,
      maxIncomingPendingConnections: limits.MAX_PENDING_INBOUND,
      inboundConnectionThreshold: limits.MAX_INBOUND_PER_SECOND,
      dialTimeout: limits.DIAL_TIMEOUT_MS,
      inboundStreamProtocolNegotiationTimeout: limits.OPEN_STREAM_TIMEOUT_MS,
      outboundStreamProtocolNegotiationTimeout: limits.OPEN_STREAM_TIMEOUT_MS,
      reconnectRetries: 0,
    },
    // keep-alive.ts does that.
    connectionMonitor: { enabled: false },
    services: {
      // gossipsub starts to talk to a peer when identify says that it speaks gossip.
      identify: guarded(identify({ timeout: limits.OPEN_STREAM_TIMEOUT_MS })),
      ping: guarded(
        ping({ maxInboundStreams: 8, maxOutboundStreams: 8, timeout: limits.OPEN_STREAM_TIMEOUT_MS }),
      ),
      gossip: guarded(gossipService(topics, membership)),
      relay: relay.server,
    },
  })
  return node as unknown as MeshNode
}

export async function startNode(node: MeshNode, listen: readonly string[]): Promise<void> {
  try {
    await node.start()
  } catch (error) {
    await Promise.resolve(node.stop()).catch(() => undefined)
    throw asMirrorError(listenErrno(error), `listen on ${listen.join(', ')}`, {
      hint: 'Is another daemon using this port? Choose another with --listen.',
    })
  }
}

/** libp2p folds what the system said of each address into one text of many lines, stacks and all. */
function listenErrno(error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error)
  const found = /Error: listen (E[A-Z]+): ([^\n]+)/.exec(text)
  return found === null ? error : { code: found[1], message: found[2], cause: error }
}
