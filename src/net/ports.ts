/**
 * The nouns at the border of the network: what the layers above give to a host (membership, records, admission,
 * blocks), and what they get from it (`Host`, `BlockChannel`). Nothing here knows libp2p; a peer is the base58 text
 * of its PeerId, an address the text of a multiaddr without its `/p2p/` part.
 *
 * What a host calls back is called only for peers that it has let in: handlers need no second look at membership,
 * only at the right to the tree asked for.
 */
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import type { JoinWish } from '../record/request-code.ts'
import type { GiveWaySettings } from './give-way.ts'
import type { PathState } from './path-pacer.ts'

// ---- given to a host -------------------------------------------------------------------------------------------

/** Who may connect. Asked on every connection and every stream, so it answers from memory. */
export interface Membership {
  /** A member that is not revoked. */
  isMember(peer: string): boolean
  /**
   * True while an invite made here is open, or requests to join are taken: strangers may connect, for these two protocols
   * only, for a short time.
   */
  acceptsGuests(peer: string): boolean
}

/** The set of signed records held here. */
export interface RecordExchange {
  /** Sorted 32-byte ids of every record held. The array is a snapshot: it is not changed afterwards. */
  ids(): readonly Uint8Array[]
  /** The encoded records with these ids; an id that is not held is left out. */
  get(ids: readonly Uint8Array[]): Promise<Uint8Array[]>
  /** The ids that are held, each after those that its record depends on. Without it they go in any order. */
  inOrder?(ids: readonly Uint8Array[]): readonly Uint8Array[]
  /** Verifies and keeps records sent by `from`. Resolves when those accepted are durable. Known ones count as accepted. */
  offer(
    records: readonly Uint8Array[],
    from: string,
  ): Promise<{ readonly accepted: number; readonly refused: readonly { readonly reason: string }[] }>
}

/** Lets a newcomer in. */
export interface Admission {
  /**
   * Uses up an invite and answers with the records that a newcomer starts from (genesis, its own member record, ...).
   * @throws MirrorError `refused` when the invite is unknown, expired or used, or the secret does not fit
   */
  claim(request: {
    readonly peer: string
    readonly secret: Uint8Array
    readonly invite: Cid
  }): Promise<{ readonly records: readonly Uint8Array[] }>
}

/** Takes the requests of newcomers that have no invite. Strangers call all of it: each throws `refused` with a reason for them. */
export interface JoinRequests {
  /** Of a member: the records that a newcomer starts from. */
  admitted(peer: string): readonly Uint8Array[] | undefined
  /** Whether an exchange may begin now: it counts from here on, however it ends. */
  begin(newcomer: Newcomer): void
  /** Both nonces are known: the request is pending, if what was revealed is what was committed to. */
  complete(
    newcomer: Newcomer,
    exchange: {
      readonly commitment: Uint8Array
      readonly wish: JoinWish
      readonly newcomerNonce: Uint8Array
      readonly memberNonce: Uint8Array
    },
  ): void
  /** The member's nonce of the pending request. */
  pending(peer: string): Uint8Array | undefined
}

/** A new request, or how an earlier one stands. */
export type JoinQuestion =
  | { readonly kind: 'ask'; readonly mesh: Cid; readonly nonce: Uint8Array; readonly wish: JoinWish }
  | { readonly kind: 'poll'; readonly mesh: Cid }

export type JoinAnswer =
  /** It is a member: the records that it starts from, unverified. */
  | { readonly kind: 'admitted'; readonly records: readonly Uint8Array[] }
  | { readonly kind: 'pending'; readonly memberNonce: Uint8Array }
  | { readonly kind: 'unknown' }

export interface Newcomer {
  readonly peer: string
  /** Where it connects from: an IPv4 address, or the /64 of an IPv6 one. */
  readonly address: string
}

/** A block asked for by its position: an index page and an offset in it. */
export interface ServedBlock {
  readonly offset: number
  /** Absent when the block is not held here (yet). */
  readonly bytes?: Uint8Array
  /** Given when `bytes` are a zstd frame: the length of the plain block. */
  readonly zstdOfBytes?: number
}

/** An object as a zstd frame over a window of bases. */
export interface ObjectOver {
  readonly bytes: Uint8Array
  readonly over: {
    /** Their numbers in the request, rising. */
    readonly bases: readonly number[]
    readonly lengthBytes: number
  }
}

/** What this node serves. Each call checks the peer's right to the tree; without it everything is `undefined`. */
export interface BlockServer {
  /** A control object of the tree: snapshot, index node, directory or file node. */
  object(peer: string, tree: string, cid: Cid, signal: AbortSignal): Promise<Uint8Array | undefined>
  /**
   * The same as a frame over those of `bases` that are held here and that the peer may read in the tree; undefined when it
   * is better sent whole, or cannot be sent. Servers that lack this send whole objects.
   */
  objectOver?(
    peer: string,
    tree: string,
    request: { readonly cid: Cid; readonly bases: readonly Cid[] },
    signal: AbortSignal,
  ): Promise<ObjectOver | undefined>
  /**
   * One answer per offset, in any order, each as soon as it can be read: in batches of those that are ready together, of
   * 64 KiB or one block. Read no faster than the peer takes them.
   */
  blocks(
    peer: string,
    request: BlockRequest & {
      /** Without it every answer must be plain. */
      readonly acceptsZstd?: boolean
    },
    signal: AbortSignal,
  ): AsyncIterable<readonly ServedBlock[]>
  /** What this node holds of a snapshot: first all of it, then changes, until the signal fires. */
  watch(
    peer: string,
    request: { readonly tree: string; readonly snapshot: Cid },
    signal: AbortSignal,
  ): AsyncIterable<HoldingUpdate>
}

/** Page numbers count the pages of the snapshot's block index in order; offsets count the blocks of a page. */
export type HoldingUpdate =
  | { readonly kind: 'complete' }
  | { readonly kind: 'pages'; readonly full: readonly number[] }
  | { readonly kind: 'blocks'; readonly page: number; readonly offsets: readonly number[] }
  /** The snapshot is not known there yet; more may follow on the same watch. */
  | { readonly kind: 'unknown' }

/** Structured, one event a line; pino fits. */
export interface NetLog {
  debug(fields: object, event: string): void
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
}

// ---- got from a host -------------------------------------------------------------------------------------------

export interface PeerInfo {
  readonly peer: string
  readonly direction: 'inbound' | 'outbound'
  /** Remote addresses of the live connections. */
  readonly addresses: readonly string[]
  /** True when the only connections lead through another member. */
  readonly isRelayed?: boolean
  readonly rttMs?: number
}

/** Counted since the host started; kept for a peer that disconnected, for the last 1,024 peers. */
export interface PeerTraffic {
  readonly peer: string
  /** Bytes of our own protocols before encryption; gossip, identify and ping are not counted. */
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly blocksSent: number
  readonly blocksReceived: number
}

/** Of all peers, of one of our own protocols, before encryption: gossip, identify and ping are not counted. */
export interface ProtocolTraffic {
  /** Its id, such as `/mirrormesh/1/watch`. */
  readonly protocol: string
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Messages of the muxer, of which each costs both ends some work, whatever its size. */
  readonly messagesSent: number
  readonly messagesReceived: number
}

/** What this node does as a relay for others. */
export interface RelayCounts {
  /** Sent on, of both directions, since the start. */
  readonly bytes: number
  /** Connections that are relayed now, and requests for one. */
  readonly circuits: number
  /** Members that may be asked for here. */
  readonly reservations: number
  /** Received of all of them and not sent on yet, now. */
  readonly heldBytes: number
}

export interface BlockRequest {
  readonly tree: string
  readonly page: Cid
  /** 1 to 1,024 distinct offsets below 65,536. */
  readonly offsets: readonly number[]
}

export interface BlockAnswer {
  readonly offset: number
  /** `busy`: the peer has too much to do for us; ask again later, or somebody else. */
  readonly status: 'have' | 'missing' | 'busy'
  /**
   * With `have`. Not verified: the caller holds the page that names the block's CID. They are the caller's own, and may lie in
   * one buffer with those of the answers that came with them.
   */
  readonly bytes?: Uint8Array
  /** With `have`, when `bytes` are said to be a zstd frame: the length of the plain block, larger than theirs. */
  readonly zstdOfBytes?: number
}

/** A long-lived stream of block requests to one peer. Many requests may be in flight. */
export interface BlockChannel {
  readonly peer: string
  /**
   * Resolves after exactly one answer for each offset. `onAnswers` is called as they arrive, with those that came together, in
   * the order the peer could read them, and never with an offset that was not asked for.
   * @throws the signal's reason (the peer is told, no further answer is delivered); `unreachable` when the stream dies;
   *         `corrupt` when the peer breaks the protocol; `timed-out` when nothing at all arrives for `stallTimeoutMs`
   */
  request(
    request: BlockRequest,
    onAnswers: (answers: readonly BlockAnswer[]) => void,
    signal?: AbortSignal,
  ): Promise<void>
  /** Answers and requests that are open reject with `aborted`. */
  close(): void
}

/** Answers what other members ask (ask-protocol.ts). */
export interface Answerer {
  /** @throws MirrorError `refused`, `not-found` or `unsupported` with a reason that the peer may read */
  answer(peer: string, question: Uint8Array): Promise<Uint8Array>
}

export interface Host {
  readonly peerId: string
  /** Addresses that others can dial, without `/p2p/`: the announced ones, or else those listened on. */
  addresses(): string[]
  /** Called when `addresses()` may read differently: a relay was found, or is gone. */
  onAddresses(listener: () => void): () => void
  /**
   * Connects, to a direct address if one answers, unless connected. A peer that is connected through a relay only is
   * dialled at its direct addresses. @throws MirrorError `unreachable` | `refused` | `timed-out` | `aborted`
   */
  dial(peer: string, addresses: readonly string[], signal?: AbortSignal): Promise<void>
  /** Members with a live connection. */
  peers(): PeerInfo[]
  /** Members coming (first connection) and going (last connection). Returns the function that ends it. */
  onPeer(listener: (event: { readonly peer: string; readonly connected: boolean }) => void): () => void
  /** Gossips a record that is durable here. Others' records are relayed after `records.offer` accepted them. */
  publishRecord(record: Uint8Array): Promise<void>
  /** Gossips this node's short-lived status, at most 32 KiB. Each is signed by the node's key. */
  publishStatus(status: Uint8Array): Promise<void>
  /** `peer` is the author, whoever relayed it: its signature is checked and it is a member. */
  onStatus(listener: (peer: string, status: Uint8Array) => unknown): () => void
  /**
   * Asks a connected member: 4 KiB at most. The answer has 512 KiB at most, and is whatever the peer says.
   * @throws MirrorError `refused` with the peer's reason, `unreachable`, `timed-out`
   */
  ask(peer: string, question: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>
  /** Makes both sides hold the union of their records (less what either refuses). */
  reconcile(peer: string, signal?: AbortSignal): Promise<{ readonly received: number; readonly sent: number }>
  /**
   * Claims an invite at a peer that is not a member of anything we know yet. Returns the records it answers with,
   * unverified. @throws MirrorError `refused` with the peer's reason, `unreachable`, `timed-out`
   */
  join(
    request: {
      readonly peer: string
      readonly addresses: readonly string[]
      readonly mesh: Cid
      readonly secret: Uint8Array
      readonly invite: Cid
    },
    signal?: AbortSignal,
  ): Promise<Uint8Array[]>
  /**
   * Asks to join at `host:port`, whoever answers there; or how an earlier request stands.
   * @throws MirrorError `refused` with the peer's reason, `unreachable`, `timed-out`
   */
  askToJoin(
    request: { readonly address: string; readonly question: JoinQuestion },
    signal?: AbortSignal,
  ): Promise<JoinAnswer & { readonly peer: string }>
  /** Verified bytes of a control object, or undefined when the peer has it not. @throws MirrorError `corrupt` with facts {peer} */
  fetchObject(
    peer: string,
    request: {
      readonly tree: string
      readonly cid: Cid
      /** What this node has that the object may resemble: then perhaps only the difference travels. */
      readonly bases?: readonly Block[]
      /** Told how many bytes the object took on its way. */
      readonly onTravelled?: (bytes: number) => void
    },
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined>
  /** Returns at once; the stream opens with the first request. Several channels to one peer are allowed (8 at most). */
  openBlocks(peer: string): BlockChannel
  /** Ends when the signal fires (with its reason), or with `unreachable` when the peer goes. */
  watch(
    peer: string,
    request: { readonly tree: string; readonly snapshot: Cid },
    signal: AbortSignal,
  ): AsyncIterable<HoldingUpdate>
  /** Closes every connection to the peer. It may come back unless membership says otherwise. */
  disconnect(peer: string): Promise<void>
  /** Call when membership shrank: closes the connections of those who are no longer members. */
  enforceMembership(): Promise<void>
  traffic(): PeerTraffic[]
  /** Since the start. */
  protocols(): ProtocolTraffic[]
  relayed(): RelayCounts
  /** To far peers, as far as they can be measured. */
  paths(): PathState[]
  pathTo(peer: string): PathState | undefined
  /** From now on. Undefined: to nobody. */
  giveWay(settings: GiveWaySettings | undefined): void
  /** Ends all streams, connections and listeners. Resolves when nothing of the host is left running. */
  stop(): Promise<void>
}
