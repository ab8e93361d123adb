/**
 * Gets single blocks and control objects of a tree from other members, for a reader who waits: one member after the other,
 * as pull-peers.ts orders them, until one has it. Bytes are checked before anybody sees them; who sends wrong ones is
 * blamed and not asked again. What is asked for at a time is bounded in bytes.
 */
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import { Semaphore } from '../../base/semaphore.ts'
import type { Cid } from '../../block/cid.ts'
import { isBlockOf } from '../../block/cid.ts'
import { decodeBlockLater } from '../../block/encoding.ts'
import type { BlockAnswer, BlockChannel } from '../../net/ports.ts'
import type { Place } from '../../topology/path-class.ts'
import type { FetchNetwork } from '../fetch-network.ts'
import type { BlockPosition } from '../serve/index-search.ts'
import type { Traffic } from '../traffic.ts'
import type { PullFailure, PullPeer, PullPeers } from './pull-peers.ts'

/** One try with a member of this region, and with another: then the next is asked. */
const NEAR_TIMEOUT_MS = 3_000
const FAR_TIMEOUT_MS = 20_000
const BUSY_PAUSE_MS = 200
/** Control objects are not larger than this, mostly. */
const OBJECT_BYTES = 64 * 1024

export interface PullRequestsComponents {
  readonly network: Pick<FetchNetwork, 'fetchObject' | 'openBlocks'>
  readonly peers: PullPeers
  readonly traffic: Traffic
  readonly clock: Clock
}

export interface PullRequestsOptions {
  /** Of all together. On a slow link it must arrive well within the time of one try. */
  readonly maxInFlightBytes: number
  /** For one block or object, once its turn has come. */
  readonly timeoutMs: number
  readonly onBlame: (peer: string, error: MirrorError) => void
}

export interface PullAsk {
  readonly tree: string
  readonly cid: Cid
  readonly origin: Place | undefined
}

export interface PullRequests {
  /** @throws MirrorError `unreachable` when no connected member has it, `timed-out`; the signal's reason */
  object(ask: PullAsk, signal: AbortSignal): Promise<Uint8Array>
  block(ask: PullAsk, position: BlockPosition, signal: AbortSignal): Promise<Uint8Array>
  close(): void
}

/** What one member said. */
type Outcome = { readonly bytes: Uint8Array } | { readonly failure: PullFailure }

export function createPullRequests(
  { network, peers, traffic, clock }: PullRequestsComponents,
  { maxInFlightBytes, timeoutMs, onBlame }: PullRequestsOptions,
): PullRequests {
  const channels = new Map<string, BlockChannel>()
  const room = new Semaphore(maxInFlightBytes)

  function channelTo(peer: string): BlockChannel {
    const known = channels.get(peer)
    if (known !== undefined) return known
    const channel = network.openBlocks(peer)
    channels.set(peer, channel)
    return channel
  }

  function blame(peer: string, { tree, cid }: PullAsk): void {
    peers.blame(peer)
    onBlame(
      peer,
      new MirrorError('corrupt', `peer ${peer} sent wrong bytes for block ${cid.toString()} of ${tree}`, {
        facts: { peer, tree, cid: cid.toString() },
        hint: 'It is not asked again. Check its disk, or revoke it.',
      }),
    )
  }

  async function search(
    ask: PullAsk,
    one: (peer: PullPeer, signal: AbortSignal) => Promise<Outcome>,
    outer: AbortSignal,
  ): Promise<Uint8Array> {
    const late = new AbortController()
    const cancel = clock.after(timeoutMs, () => late.abort(tooLate(ask.tree, timeoutMs)))
    try {
      return await searchUntil(ask, one, AbortSignal.any([outer, late.signal]))
    } finally {
      cancel()
    }
  }

  async function searchUntil(
    ask: PullAsk,
    one: (peer: PullPeer, signal: AbortSignal) => Promise<Outcome>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    for (;;) {
      let isAnyBusy = false
      for (const peer of peers.list(ask.tree, ask.origin)) {
        const outcome = await tryPeer(peer, ask, one, signal)
        if ('bytes' in outcome) return outcome.bytes
        if (outcome.failure === 'busy') isAnyBusy = true
      }
      if (!isAnyBusy) break
      await sleep(clock, BUSY_PAUSE_MS, signal)
    }
    throw new MirrorError('unreachable', `no site that is connected now holds this part of ${ask.tree}`, {
      facts: { tree: ask.tree, wanted: ask.cid.toString() },
      hint: 'Try again later: a site that holds it has to be up and reachable.',
    })
  }

  async function tryPeer(
    peer: PullPeer,
    ask: PullAsk,
    one: (peer: PullPeer, signal: AbortSignal) => Promise<Outcome>,
    signal: AbortSignal,
  ): Promise<Outcome> {
    signal.throwIfAborted()
    const timeout = new AbortController()
    const timeoutMs = peer.isNear ? NEAR_TIMEOUT_MS : FAR_TIMEOUT_MS
    const cancel = clock.after(timeoutMs, () =>
      timeout.abort(new MirrorError('timed-out', `peer ${peer.peer} did not answer within ${timeoutMs} ms`)),
    )
    peers.started(peer.peer)
    let failure: PullFailure | undefined
    try {
      const outcome = await one(peer, AbortSignal.any([signal, timeout.signal]))
      if ('failure' in outcome) failure = outcome.failure
      return outcome
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (isMirrorError(error, 'corrupt')) blame(peer.peer, ask)
      failure = isMirrorError(error, 'busy') ? 'busy' : 'broken'
      return { failure }
    } finally {
      cancel()
      peers.ended(peer.peer, ask.tree, failure)
    }
  }

  async function askBlock(
    { peer }: PullPeer,
    { tree, cid }: PullAsk,
    { page, offset, lengthBytes }: BlockPosition,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const channel = channelTo(peer)
    let answer: BlockAnswer | undefined
    try {
      await channel.request(
        { tree, page, offsets: [offset] },
        ([first]) => {
          answer = first
        },
        signal,
      )
    } catch (error) {
      // One that gave up on this block alone has a channel that is as good as before.
      if (!signal.aborted) {
        if (channels.get(peer) === channel) channels.delete(peer)
        channel.close()
      }
      throw error
    }
    if (answer?.bytes === undefined) return { failure: answer?.status === 'busy' ? 'busy' : 'missing' }
    const { bytes, zstdOfBytes } = answer
    traffic.receivedBlock(peer, bytes.length, zstdOfBytes)
    // Before it is decoded: the index bounds what is in flight.
    if ((zstdOfBytes ?? bytes.length) !== lengthBytes) {
      throw new MirrorError('corrupt', `${bytes.length} bytes of a block of ${lengthBytes}`)
    }
    const encoding = zstdOfBytes === undefined ? 'plain' : 'zstd'
    const plain = await decodeBlockLater({ encoding, bytes, lengthBytes })
    if (!isBlockOf(cid, plain)) throw new MirrorError('corrupt', `not the block ${cid.toString()}`)
    // It may lie in one buffer with others.
    return { bytes: plain.byteLength === plain.buffer.byteLength ? plain : new Uint8Array(plain) }
  }

  return {
    object: (ask, signal) =>
      room.run(
        () =>
          search(
            ask,
            async ({ peer }, trySignal) => {
              const bytes = await network.fetchObject(peer, { tree: ask.tree, cid: ask.cid }, trySignal)
              if (bytes === undefined) return { failure: 'missing' }
              if (!isBlockOf(ask.cid, bytes)) throw new MirrorError('corrupt', 'not the object')
              traffic.receivedObject(peer, bytes.length)
              return { bytes }
            },
            signal,
          ),
        OBJECT_BYTES,
        signal,
      ),
    block: (ask, position, signal) =>
      room.run(
        () => search(ask, (peer, trySignal) => askBlock(peer, ask, position, trySignal), signal),
        position.lengthBytes,
        signal,
      ),
    close() {
      for (const channel of channels.values()) channel.close()
      channels.clear()
    },
  }
}

function tooLate(tree: string, timeoutMs: number): MirrorError {
  return new MirrorError(
    'timed-out',
    `the sites that hold ${tree} did not send a part of it within ${timeoutMs / 1000} s`,
    { facts: { tree }, hint: 'What arrived is kept for a while: try again.' },
  )
}
