/**
 * A mesh in one process for tests of fetching: real stores (in memory), holdings, block services and fetches, joined by
 * a network that calls the other side's service directly and can be told to fail.
 */
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { covers, type PathFilter } from '../../src/base/path-filter.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { encodeSnapshot } from '../../src/dag/snapshot.ts'
import type { BlockChannel, BlockServer } from '../../src/net/ports.ts'
import type { TreeState } from '../../src/record/mesh-state.ts'
import { withSets } from '../../src/replica/deltas/set-holdings.ts'
import type { Fetch, FetchOptions } from '../../src/replica/fetch/fetch-session.ts'
import { startFetch } from '../../src/replica/fetch/fetch-session.ts'
import type { FetchMember, FetchMembers, FetchNetwork } from '../../src/replica/fetch-network.ts'
import type { Holdings } from '../../src/replica/holdings/holdings.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import type { PullThrough } from '../../src/replica/pull/pull-through.ts'
import { createPullThrough } from '../../src/replica/pull/pull-through.ts'
import { createBlockService } from '../../src/replica/serve/block-service.ts'
import type { Traffic } from '../../src/replica/traffic.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import type { BlockCache } from '../../src/store/block-cache.ts'
import { openBlockCache } from '../../src/store/block-cache.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import type { Plan } from '../dag/trees.ts'
import { buildTree, directoryPlan, META } from '../dag/trees.ts'

export const TREE = 'builds/nightly'

/** Keeps the process alive while something waits for time to pass. */
export const clock: Clock = {
  ...systemClock,
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs)
    return () => clearTimeout(timer)
  },
}

export interface TestNode {
  readonly name: string
  readonly region: string
  readonly store: Store
  readonly holdings: Holdings
  readonly traffic: Traffic
  readonly server: BlockServer
  isConnected: boolean
  wants: boolean
  /** Which part of the tree it keeps. */
  filter: PathFilter | undefined
  /** Changes each block on its way out. */
  corrupt: ((bytes: Uint8Array) => Uint8Array) | undefined
  /** Called for each block that it is about to send. */
  onServe: (() => void | Promise<void>) | undefined
  /** What its records say of deltas. */
  encodings: TreeState['encodings']
}

export interface TestMesh {
  add(name: string, region: string, store?: Store): TestNode
  remove(node: TestNode): void
  fetch(node: TestNode, snapshot: Cid, more?: Partial<FetchOptions>): Fetch
  /** What its gateway would read through; `fetching` is what the node fetches by itself meanwhile. */
  pull(
    node: TestNode,
    dir: string,
    more?: { fetching?: Fetch; timeoutMs?: number; isPrivate?: boolean; isGone?: () => boolean },
  ): TestPull
  setConnected(node: TestNode, isConnected: boolean): void
}

export interface TestPull extends PullThrough {
  readonly blamed: string[]
  readonly cache: BlockCache
}

/** @param compresses blocks between regions, in a thread pool: who is first is less certain then */
export function createMesh({ compresses = false } = {}): TestMesh {
  const nodes = new Map<string, TestNode>()
  const listeners = new Set<() => void>()
  const changed = (): void => {
    for (const listener of [...listeners]) listener()
  }
  const membersOf = (node: TestNode): FetchMembers => ({
    list: () =>
      [...nodes.values()]
        .filter((other) => other.name !== node.name)
        .map(
          (other): FetchMember => ({
            peer: other.name,
            site: other.name,
            region: other.region,
            ...wishOf(node, other),
            isConnected: other.isConnected,
          }),
        ),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  })
  const mesh: TestMesh = {
    add(name, region, store = createMemoryStore()) {
      const holdings = withSets(
        createHoldings({ blocks: store.blocks, values: (space) => store.values(space), clock }),
        {
          blocks: store.blocks,
          state: () => ({ trees: new Map([[TREE, { encodings: nodes.get(name)?.encodings ?? new Map() }]]) }),
        },
      )
      const traffic = createTraffic()
      const server = createBlockService({
        blocks: store.blocks,
        holdings,
        traffic,
        mayRead: () => true,
        isFar: (peer) => compresses && nodes.get(peer)?.region !== region,
      })
      const node: TestNode = {
        name,
        region,
        store,
        holdings,
        traffic,
        server,
        isConnected: true,
        wants: true,
        filter: undefined,
        corrupt: undefined,
        onServe: undefined,
        encodings: new Map(),
      }
      nodes.set(name, node)
      changed()
      return node
    },
    remove(node) {
      nodes.delete(node.name)
      changed()
    },
    setConnected(node, isConnected) {
      node.isConnected = isConnected
      changed()
    },
    fetch(node, snapshot, more = {}) {
      return startFetch(
        {
          network: networkOf(node.name, nodes),
          members: membersOf(node),
          blocks: node.store.blocks,
          holdings: node.holdings,
          traffic: node.traffic,
          clock,
        },
        {
          tree: TREE,
          snapshot,
          self: { site: node.name, region: node.region },
          ...(node.filter && { filter: node.filter }),
          ...more,
        },
      )
    },
    pull(node, dir, { fetching, timeoutMs = 5000, isPrivate = false, isGone = () => false } = {}) {
      const blamed: string[] = []
      const cache = openBlockCache({}, { dir, quotaBytes: 50_000_000, reserveBytes: 0 })
      const through = createPullThrough(
        {
          network: networkOf(node.name, nodes),
          members: membersOf(node),
          blocksOf: () => node.store.blocks,
          isPrivate: () => isPrivate,
          isGone,
          cache,
          traffic: node.traffic,
          clock,
          log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
          originOf: () => undefined,
          demandOf: () => fetching?.demand,
          onBlame: (peer) => blamed.push(peer),
        },
        { self: { site: node.name, region: node.region }, timeoutMs },
      )
      return { ...through, blamed, cache }
    },
  }
  return mesh
}

/** As the site agent tells it. */
function wishOf(self: TestNode, other: TestNode): { wants: boolean; wantsMore?: boolean } {
  if (!other.wants || !covers(other.filter, self.filter)) return { wants: false }
  return covers(self.filter, other.filter) ? { wants: true } : { wants: true, wantsMore: true }
}

function networkOf(self: string, nodes: ReadonlyMap<string, TestNode>): FetchNetwork {
  const reach = (peer: string): TestNode => {
    const node = nodes.get(peer)
    if (node === undefined || !node.isConnected)
      throw new MirrorError('unreachable', `peer ${peer} is not connected`)
    return node
  }
  return {
    async fetchObject(peer, { tree, cid }, signal = new AbortController().signal) {
      return reach(peer).server.object(self, tree, cid, signal)
    },
    openBlocks: (peer): BlockChannel => ({
      peer,
      async request(request, onAnswers, signal = new AbortController().signal) {
        const node = reach(peer)
        const wanted = { ...request, acceptsZstd: true }
        const gone = Promise.withResolvers<never>()
        gone.promise.catch(() => undefined)
        signal.addEventListener('abort', () => gone.reject(signal.reason), { once: true })
        for await (const batch of node.server.blocks(self, wanted, signal)) {
          for (const { offset, bytes, ...rest } of batch) {
            await Promise.race([node.onServe?.(), gone.promise])
            await new Promise((resolve) => setImmediate(resolve))
            signal.throwIfAborted()
            reach(peer)
            if (bytes === undefined) onAnswers([{ offset, status: 'missing' }])
            else onAnswers([{ offset, status: 'have', bytes: node.corrupt?.(bytes) ?? bytes, ...rest }])
          }
        }
      },
      close: () => undefined,
    }),
    async *watch(peer, request, signal) {
      yield* reach(peer).server.watch(self, request, signal)
    },
  }
}

/** A plan of `count` files of about `bytes` each, different from one `seed` to another. */
export function filesPlan(count: number, bytes: number, seed = 0): Plan {
  const children: Record<string, Plan> = {}
  for (let i = 0; i < count; i++) {
    const content = Buffer.alloc(bytes + (i % 13), `${seed}/${i} `)
    children[`file-${String(i).padStart(5, '0')}`] = { type: 'file', meta: META, chunks: [content] }
  }
  return directoryPlan(children)
}

/** Stores a snapshot of `plan` at `node`, leaving out what `keep` refuses, and adopts it there. */
function countEntries(plan: Plan): Omit<Snapshot['counts'], 'blocks' | 'blockBytes'> {
  const counts = { files: 0, directories: 0, symlinks: 0, specials: 0, bytes: 0 }
  const count = (node: Plan): void => {
    if (node.type === 'file') {
      counts.files++
      counts.bytes += node.chunks.reduce((sum, { length }) => sum + length, 0)
    } else if (node.type === 'symlink') counts.symlinks++
    else if (node.type === 'fifo') counts.specials++
    else {
      counts.directories++
      for (const child of node.children.values()) count(child)
    }
  }
  count(plan)
  const { specials, ...others } = counts
  return specials === 0 ? others : { ...others, specials }
}

export async function publish(
  node: TestNode,
  plan: Plan,
  { tree = TREE, keep = () => true }: { tree?: string; keep?: (block: Block) => boolean } = {},
): Promise<{ cid: Cid; snapshot: Snapshot }> {
  const blocks: Block[] = []
  const { root, index } = buildTree(plan, (block) => blocks.push(block))
  const snapshot: Snapshot = {
    tree,
    root,
    index: index.root,
    createdMs: 1_700_000_000_000,
    chunker: DEFAULT_CHUNKER,
    counts: {
      ...countEntries(plan),
      blocks: index.blocks,
      blockBytes: index.sizeBytes,
    },
    uncaptured: { count: 0, first: [] },
    notes: {},
  }
  const block = encodeSnapshot(snapshot)
  await node.store.blocks.put([...blocks.filter(keep), block])
  await node.holdings.adopt(tree, block.cid)
  return { cid: block.cid, snapshot }
}
