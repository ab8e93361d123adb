/**
 * Reads snapshots that this site does not hold, block by block as a reader comes to them: from the store, from what was
 * fetched for readers before, and else from the mesh. Nothing that it keeps counts as held: it lies in a cache with a quota
 * of its own, outside of the store.
 *
 * - Every block is checked against its CID before anybody gets it.
 * - Many readers of one block cause one fetch, which ends when the last of them has gone.
 * - A snapshot that is being fetched here is told what its readers wait for (`demand`): they come first, and what was fetched
 *   for them is stored for good.
 *
 * What is read ahead is its callers' to bound; what is asked of others at a time is bounded here.
 */
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { BlockCache, BlockCacheUsage } from '../../store/block-cache.ts'
import type { BlockReader } from '../../store/block-store.ts'
import type { Place } from '../../topology/path-class.ts'
import type { FetchDemand } from '../fetch/fetch-demand.ts'
import { createSharedFlights } from '../fetch/shared-flights.ts'
import type { FetchMembers, FetchNetwork, ReplicaLog } from '../fetch-network.ts'
import type { IndexSearch } from '../serve/index-search.ts'
import { createIndexSearch } from '../serve/index-search.ts'
import { createPageFingerprints } from '../serve/page-fingerprints.ts'
import type { Traffic } from '../traffic.ts'
import { createPullPeers } from './pull-peers.ts'
import { createPullRequests } from './pull-requests.ts'

export interface PullThroughComponents {
  readonly network: Pick<FetchNetwork, 'fetchObject' | 'openBlocks'>
  readonly members: FetchMembers
  /** The store as each tree has it: a reader of one tree gets nothing that is here for another alone. */
  readonly blocksOf: (tree: string) => BlockReader
  /** Of public trees only: what came through one may be read in all. */
  readonly cache: BlockCache
  readonly isPrivate: (tree: string) => boolean
  /** A takedown means it: an answer that is on its way ends, and nothing of it is kept. */
  readonly isGone?: (tree: string, snapshot: Cid) => boolean
  readonly traffic: Traffic
  readonly clock: Clock
  readonly log: ReplicaLog
  /** Where the tree is published. */
  readonly originOf: (tree: string) => Place | undefined
  /** The fetch of this very snapshot that is going on here. */
  readonly demandOf: (tree: string, snapshot: Cid) => FetchDemand | undefined
  readonly onBlame: (peer: string, error: MirrorError) => void
}

export interface PullThroughOptions {
  readonly self: Place
  /** For one block, once its turn has come. */
  readonly timeoutMs?: number
  readonly maxInFlightBytes?: number
}

export interface PullThrough {
  /** The blocks of a snapshot, from wherever they are. They throw instead of calling a block missing. */
  open(tree: string, snapshot: Cid): Required<NodeSource>
  usage(): PullUsage
  close(): void
}

export interface PullUsage extends BlockCacheUsage {
  /** Since the start: fetched for readers, and answered out of what was fetched before. */
  readonly fetchedBlocks: number
  readonly fetchedBytes: number
  readonly cachedBlocks: number
  readonly failures: number
}

/** Snapshots whose index pages are at hand. */
const MAX_SEARCHES = 16
/** A block that the fetch of the snapshot has asked for already is waited for so long before it is asked for again. */
const COMING_PATIENCE_MS = 1_500

export function createPullThrough(
  components: PullThroughComponents,
  { self, timeoutMs = 30_000, maxInFlightBytes = 8 * 1024 * 1024 }: PullThroughOptions,
): PullThrough {
  const {
    network,
    members,
    blocksOf,
    isPrivate,
    isGone = () => false,
    cache,
    traffic,
    clock,
    log,
    originOf,
    demandOf,
    onBlame,
  } = components
  const peers = createPullPeers({ members, clock }, { self })
  const requests = createPullRequests(
    { network, peers, traffic, clock },
    { maxInFlightBytes, timeoutMs, onBlame },
  )
  const flights = createSharedFlights<Uint8Array>()
  const searches = new Map<string, IndexSearch>()
  /** Consecutive snapshots have most pages in common. */
  const fingerprints = createPageFingerprints()
  const counts = { fetchedBlocks: 0, fetchedBytes: 0, cachedBlocks: 0, failures: 0 }

  async function atHand(
    tree: string,
    cid: Cid,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    const stored = await blocksOf(tree).get(cid, signal)
    if (stored !== undefined) return stored
    const cached = await cache.get(cid)
    if (cached !== undefined) counts.cachedBlocks++
    return cached
  }

  async function keep(tree: string, snapshot: Cid, cid: Cid, bytes: Uint8Array): Promise<void> {
    if (!isPrivate(tree) && !isGone(tree, snapshot)) await cache.put(cid, bytes)
  }

  /** Once for all who wait. */
  function fetch(
    tree: string,
    cid: Cid,
    task: (signal: AbortSignal) => Promise<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const run = async (shared: AbortSignal): Promise<Uint8Array> => {
      try {
        const bytes = await task(shared)
        counts.fetchedBlocks++
        counts.fetchedBytes += bytes.length
        return bytes
      } catch (error) {
        if (shared.aborted) throw error
        counts.failures++
        log.debug({ tree, cid: cid.toString(), err: error }, 'pull.failed')
        throw error
      }
    }
    return flights.run(`${tree} ${cidKey(cid)}`, run, signal)
  }

  /** Snapshots and index nodes: what is asked for by CID. */
  function objectsOf(tree: string, snapshot: Cid): NodeSource {
    return {
      async get(cid, signal) {
        const known = await atHand(tree, cid, signal)
        if (known !== undefined) return known
        const ask = { tree, cid, origin: originOf(tree) }
        return fetch(
          tree,
          cid,
          async (shared) => {
            const bytes = await requests.object(ask, shared)
            await keep(tree, snapshot, cid, bytes)
            return bytes
          },
          signal,
        )
      },
    }
  }

  async function searchOf(tree: string, snapshot: Cid, signal: AbortSignal): Promise<IndexSearch> {
    const key = `${tree} ${cidKey(snapshot)}`
    let search = searches.get(key)
    if (search === undefined) {
      const objects = objectsOf(tree, snapshot)
      const { index } = decodeSnapshot(snapshot, (await objects.get(snapshot, signal))!)
      search = searches.get(key) ?? createIndexSearch(objects, index, fingerprints)
      if (searches.size >= MAX_SEARCHES) searches.delete(searches.keys().next().value!)
    } else searches.delete(key)
    searches.set(key, search)
    return search
  }

  async function fetchBlock(tree: string, snapshot: Cid, cid: Cid, signal: AbortSignal): Promise<Uint8Array> {
    const position = await (await searchOf(tree, snapshot, signal)).find(cid, signal)
    if (position === undefined) {
      throw new MirrorError('corrupt', `the block index of ${tree} leaves out ${cid.toString()}`, {
        hint: 'Its publisher has to publish the tree again.',
      })
    }
    const claim = demandOf(tree, snapshot)?.claim(position.page, position.offset)
    try {
      if (claim !== undefined && (await claim.arrives(COMING_PATIENCE_MS, signal))) {
        const stored = await blocksOf(tree).get(cid, signal)
        if (stored !== undefined) return stored
      }
      const bytes = await requests.block({ tree, cid, origin: originOf(tree) }, position, signal)
      if (claim === undefined) await keep(tree, snapshot, cid, bytes)
      else await claim.keep(cid, bytes)
      return bytes
    } finally {
      claim?.release()
    }
  }

  return {
    open(tree, snapshot) {
      const objects = objectsOf(tree, snapshot)
      const get = async (cid: Cid, signal?: AbortSignal): Promise<Uint8Array | undefined> => {
        if (cid.equals(snapshot)) return objects.get(cid, signal)
        const known = await atHand(tree, cid, signal)
        if (known !== undefined) return known
        return fetch(tree, cid, (shared) => fetchBlock(tree, snapshot, cid, shared), signal)
      }
      return { get, getMany: (cids, signal) => Promise.all(cids.map((cid) => get(cid, signal))) }
    },
    usage: () => ({ ...cache.usage(), ...counts }),
    close: () => requests.close(),
  }
}
