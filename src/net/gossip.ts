/**
 * Gossip of records and of sites' status, on two topics that carry the mesh's id. A message is judged before it is
 * passed on: a record when it is verified and durable here, a status when its author is a member and not too loud.
 * What gossip loses, reconciliation brings.
 */
import type { GossipSub, GossipsubOpts, Message } from '@libp2p/gossipsub'
import { gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import { concatBytes, utf8 } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { blake3 } from '../block/hash.ts'
import { MAX_RECORD_BYTES, MAX_STATUS_BYTES, MIB } from './limits.ts'
import type { Membership, NetLog, RecordExchange } from './ports.ts'
import { rateLimit } from './rate-limit.ts'
import { u32 } from './wire/fields.ts'

export const GOSSIP_PROTOCOLS = ['/meshsub/1.2.0', '/meshsub/1.1.0', '/meshsub/1.0.0']

/** Statuses of one author by one relay: this many at once, and one more each interval. */
const STATUS_BURST = 10
const STATUS_INTERVAL_MS = 500
/**
 * Of one author by all relays: he may send each of them another one. It takes five relays that repeat what he once said to use that up, and
 * until then what he says himself is heard.
 */
const AUTHOR_BURST = 50
const AUTHOR_INTERVAL_MS = 100
const MAX_RELAYED = 16_384
/** New records relayed by one peer: a burst this large, then one each interval. The rest comes by reconciliation. */
const RECORD_BURST = 500
const RECORD_INTERVAL_MS = 10
const MAX_RPC_BYTES = 4 * MIB
const OUTCAST_SCORE = -1_000_000

export interface GossipTopics {
  readonly records: string
  readonly status: string
}

export function gossipTopics(mesh: Cid): GossipTopics {
  const root = `/mirrormesh/1/${mesh.toString()}`
  return { records: `${root}/records`, status: `${root}/status` }
}

/** The libp2p service. Scores hold members only to the rules: one address for many sites is no fault. */
export function gossipService(topics: GossipTopics, membership: Membership): ReturnType<typeof gossipsub> {
  return gossipsub({
    allowedTopics: [topics.records, topics.status],
    fallbackToFloodsub: false,
    floodPublish: true,
    // A message goes to all connected members at once: what is passed on, and told of in each of the next seconds, is for the
    // few that are not. Gossipsub's own numbers are for a message of which most hear by chance: a status then cost each of ten
    // sites 4 KB, two thirds of it for telling of it.
    D: 3,
    Dlo: 2,
    Dhi: 4,
    Dout: 1,
    Dscore: 1,
    Dlazy: 2,
    gossipFactor: 0.02,
    mcacheGossip: 1,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    emitSelf: false,
    doPX: false,
    tagMeshPeers: false,
    globalSignaturePolicy: 'StrictSign',
    maxInboundStreams: 2,
    maxOutboundStreams: 2,
    maxInboundDataLength: MAX_RPC_BYTES,
    maxOutboundBufferSize: 2 * MAX_RPC_BYTES,
    maxTopicBytesPerPeer: 8 * 1024,
    decodeRpcLimits: {
      maxSubscriptions: 16,
      maxMessages: 1_024,
      maxIhaveMessageIDs: 5_000,
      maxIwantMessageIDs: 5_000,
      maxIdontwantMessageIDs: 1_024,
      maxControlMessages: 1_024,
      maxPeerInfos: 0,
    },
    fastMsgIdFn: messageName,
    // The same record published by two nodes is one message; a status is new each time.
    msgIdFn: (message) =>
      blake3.digest(
        message.topic === topics.records || message.type === 'unsigned'
          ? message.data
          : concatBytes([
              message.from.toMultihash().bytes,
              utf8(String(message.sequenceNumber)),
              message.data,
            ]),
      ),
    scoreParams: {
      IPColocationFactorWeight: 0,
      appSpecificWeight: 1,
      appSpecificScore: (peer) => (membership.isMember(peer) ? 0 : OUTCAST_SCORE),
    },
    scoreThresholds: {
      gossipThreshold: OUTCAST_SCORE / 8,
      publishThreshold: OUTCAST_SCORE / 4,
      graylistThreshold: OUTCAST_SCORE / 2,
      acceptPXThreshold: 1,
      opportunisticGraftThreshold: 0,
    },
  })
}

type RawMessage = Parameters<NonNullable<GossipsubOpts['fastMsgIdFn']>>[0]

/**
 * Of a message as it came, signature and all: each arrives from several peers, and its signature is checked the first time only.
 * Nothing is known by this name before it was checked, and any other byte makes another name.
 */
export function messageName({ from, data, seqno, topic, signature, key }: RawMessage): string {
  const parts = [from, data, seqno, utf8(topic), signature, key].flatMap((part) =>
    part === undefined ? [u32(0)] : [u32(1 + part.length), part],
  )
  return Buffer.from(blake3.digest(concatBytes(parts))).toString('latin1')
}

export interface Gossip {
  publishRecord(record: Uint8Array): Promise<void>
  publishStatus(status: Uint8Array): Promise<void>
  /** @param listener returns false for what is no news: it is not passed on */
  onStatus(listener: (peer: string, status: Uint8Array) => unknown): () => void
}

export function createGossip(
  {
    pubsub,
    membership,
    records,
    clock,
    log,
  }: {
    readonly pubsub: GossipSub
    readonly membership: Membership
    readonly records: RecordExchange
    readonly clock: Clock
    readonly log: NetLog
  },
  topics: GossipTopics,
): Gossip {
  const listeners = new Set<(peer: string, status: Uint8Array) => unknown>()
  const mayRelay = rateLimit(clock, STATUS_BURST, STATUS_INTERVAL_MS, MAX_RELAYED)
  const mayStatus = rateLimit(clock, AUTHOR_BURST, AUTHOR_INTERVAL_MS)
  const mayRecord = rateLimit(clock, RECORD_BURST, RECORD_INTERVAL_MS)

  const judgeRecord = async (relay: string, message: Message): Promise<TopicValidatorResult> => {
    if (!membership.isMember(relay)) return TopicValidatorResult.Ignore
    if (message.data.length > MAX_RECORD_BYTES) return TopicValidatorResult.Reject
    if (!mayRecord(relay)) return TopicValidatorResult.Ignore
    const { accepted, refused } = await records.offer([message.data], relay)
    if (accepted > 0) return TopicValidatorResult.Accept
    log.debug({ peer: relay, reason: refused[0]?.reason }, 'net.gossip.record-refused')
    // Not held against the relay: it may know an authority that we do not know yet.
    return TopicValidatorResult.Ignore
  }

  const judgeStatus = (relay: string, message: Message): TopicValidatorResult => {
    if (message.type === 'unsigned' || message.data.length > MAX_STATUS_BYTES)
      return TopicValidatorResult.Reject
    const author = message.from.toString()
    if (!membership.isMember(author) || !mayRelay(`${relay} ${author}`) || !mayStatus(author))
      return TopicValidatorResult.Ignore
    let isNews = true
    for (const listener of listeners) if (listener(author, message.data) === false) isNews = false
    // Whoever repeats what others once said reaches his neighbours, and nobody behind them.
    return isNews ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
  }

  pubsub.topicValidators.set(topics.records, (relay, message) => judgeRecord(relay.toString(), message))
  pubsub.topicValidators.set(topics.status, (relay, message) => judgeStatus(relay.toString(), message))
  pubsub.subscribe(topics.records)
  pubsub.subscribe(topics.status)

  return {
    async publishRecord(record) {
      checkSize(record, MAX_RECORD_BYTES, 'a record')
      await pubsub.publish(topics.records, record)
    },
    async publishStatus(status) {
      checkSize(status, MAX_STATUS_BYTES, 'a status')
      await pubsub.publish(topics.status, status)
    },
    onStatus(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

function checkSize(bytes: Uint8Array, limit: number, what: string): void {
  if (bytes.length > limit) {
    throw new MirrorError('limit', `${what} of ${bytes.length} bytes is over the limit of ${limit}`)
  }
}
