/**
 * A site's caps on what it sends and receives, by path class, whatever the number of peers, fetches and connections. By
 * wrapping: the server of blocks waits before it gives one away, the fetching side before it asks for more.
 *
 * A tree that a pin makes urgent is counted and not held up: the others make room for it.
 *
 * What is on its way cannot be called back, so the cap on receiving is kept on average: a pipeline of requests may arrive
 * faster, and the next ones wait for it.
 */
import type { Clock } from '../../base/clock.ts'
import type { TokenBucket } from '../../base/token-bucket.ts'
import { createTokenBucket } from '../../base/token-bucket.ts'
import type { BlockChannel, BlockServer } from '../../net/ports.ts'
import type { FetchNetwork } from '../fetch-network.ts'

/** What is asked for between two looks at the cap: this much time at its rate, and so many blocks at least. */
const ASK_SECONDS = 0.5
const MIN_OFFSETS = 16

/** Bytes a second, as they travel. 0 is no cap. */
export interface RateCap {
  readonly up: number
  readonly down: number
}

export interface RateCaps {
  /** Between regions. */
  readonly wan: RateCap
  /** Within this region. */
  readonly region: RateCap
}

export interface RateCapper {
  serve(server: BlockServer): BlockServer
  fetch(network: FetchNetwork): FetchNetwork
  /** From now on. What waits for its turn goes by the new ones. */
  change(caps: RateCaps): void
}

export function createRateCapper(
  {
    clock,
    isFar,
    isUrgent = () => false,
  }: {
    readonly clock: Clock
    readonly isFar: (peer: string) => boolean
    /** Of the tree at the peer's site; at this one when no peer is named. */
    readonly isUrgent?: (tree: string, peer?: string) => boolean
  },
  caps: RateCaps,
): RateCapper {
  const bucket = (bytesPerSecond: number): TokenBucket | undefined =>
    bytesPerSecond === 0 ? undefined : createTokenBucket(clock, bytesPerSecond)
  const bucketsOf = ({ wan, region }: RateCaps) => ({
    wan: { up: bucket(wan.up), down: bucket(wan.down) },
    region: { up: bucket(region.up), down: bucket(region.down) },
    changed: new AbortController(),
  })
  let buckets = bucketsOf(caps)
  const of = (peer: string) => buckets[isFar(peer) ? 'wan' : 'region']

  /** Waits for a turn; when the caps change meanwhile, for one by the new ones. Returns the bucket that gave it. */
  async function turn(
    pick: () => TokenBucket | undefined,
    wait: (bucket: TokenBucket, signal: AbortSignal) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<TokenBucket | undefined> {
    for (;;) {
      const found = pick()
      if (found === undefined) return undefined
      const changed = buckets.changed.signal
      try {
        await wait(found, signal === undefined ? changed : AbortSignal.any([signal, changed]))
        return found
      } catch (error) {
        if (signal?.aborted === true || !changed.aborted) throw error
      }
    }
  }

  async function give(peer: string, tree: string, bytes: number, signal: AbortSignal): Promise<void> {
    if (isUrgent(tree, peer)) of(peer).up?.spend(bytes)
    else
      await turn(
        () => of(peer).up,
        (up, ended) => up.take(bytes, ended),
        signal,
      )
  }

  function capChannel(channel: BlockChannel): BlockChannel {
    let meanBytes = Number.POSITIVE_INFINITY
    return {
      peer: channel.peer,
      async request(request, onAnswers, signal) {
        const all = request.offsets
        for (let at = 0; at < all.length; ) {
          const pick = () => of(channel.peer).down
          const down = isUrgent(request.tree)
            ? pick()
            : await turn(pick, (found, ended) => found.ready(ended), signal)
          if (down === undefined) {
            const rest = at === 0 ? all : all.slice(at)
            return await channel.request({ ...request, offsets: rest }, onAnswers, signal)
          }
          const count = Math.max(MIN_OFFSETS, Math.floor((ASK_SECONDS * down.bytesPerSecond) / meanBytes))
          const offsets = all.slice(at, at + count)
          at += offsets.length
          await channel.request(
            { ...request, offsets },
            (answers) => {
              for (const answer of answers) {
                const bytes = answer.bytes?.length ?? 0
                if (bytes > 0) meanBytes = Number.isFinite(meanBytes) ? meanBytes * 0.9 + bytes * 0.1 : bytes
                down.spend(bytes)
              }
              onAnswers(answers)
            },
            signal,
          )
        }
      },
      close: () => channel.close(),
    }
  }

  return {
    serve: (server) => ({
      async object(peer, tree, cid, signal) {
        const bytes = await server.object(peer, tree, cid, signal)
        if (bytes !== undefined) await give(peer, tree, bytes.length, signal)
        return bytes
      },
      async objectOver(peer, tree, request, signal) {
        const answer = await server.objectOver?.(peer, tree, request, signal)
        if (answer !== undefined) await give(peer, tree, answer.bytes.length, signal)
        return answer
      },
      async *blocks(peer, request, signal) {
        for await (const batch of server.blocks(peer, request, signal)) {
          const { up } = of(peer)
          if (up === undefined) yield batch
          else if (isUrgent(request.tree, peer)) {
            up.spend(batch.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0))
            yield batch
          }
          // One by one: at a low cap a batch would be seconds of nothing, and then all of it at once.
          else
            for (const block of batch) {
              if (block.bytes !== undefined) await give(peer, request.tree, block.bytes.length, signal)
              yield [block]
            }
        }
      },
      watch: server.watch.bind(server),
    }),
    fetch: (network) => ({
      async fetchObject(peer, request, signal) {
        const pick = () => of(peer).down
        if (!isUrgent(request.tree)) await turn(pick, (found, ended) => found.ready(ended), signal)
        let travelledBytes: number | undefined
        const onTravelled = (count: number): void => {
          travelledBytes = count
          request.onTravelled?.(count)
        }
        const bytes = await network.fetchObject(peer, { ...request, onTravelled }, signal)
        pick()?.spend(travelledBytes ?? bytes?.length ?? 0)
        return bytes
      },
      openBlocks: (peer) => capChannel(network.openBlocks(peer)),
      watch: network.watch.bind(network),
    }),
    change(next) {
      const { changed } = buckets
      buckets = bucketsOf(next)
      changed.abort()
    },
  }
}
