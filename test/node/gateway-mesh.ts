/** A small mesh in memory for the gateway's tests: trees of given files, each version with its own completeness. */

import {
  createGateway,
  type Gateway,
  type GatewayComponents,
  type GatewayOptions,
} from '../../node/gateway/gateway.ts'
import type { Catalogue, ServedTree, TreeVersion } from '../../node/gateway/version.ts'
import type { Tokens } from '../../node/tokens.ts'
import { utf8 } from '../../src/base/bytes.ts'
import type { Clock } from '../../src/base/clock.ts'
import type { PathFilter } from '../../src/base/path-filter.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { type Cid, cidKey, cidOf, RAW } from '../../src/block/cid.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry, Metadata } from '../../src/dag/entry.ts'
import { buildFile } from '../../src/dag/file.ts'
import { createMemoryScratch } from '../../src/dag/scratch.ts'
import { encodeSnapshot, type SnapshotCounts } from '../../src/dag/snapshot.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { NO_TOPOLOGY, type Topology } from '../../src/topology/topology.ts'
import { createFileReader } from '../../src/tree/read-file.ts'

export const MTIME_SEC = 1_700_000_000

/** A file's bytes (and its metadata where that matters), a link (`{ to }`) or a folder (a list of pairs of name and node). */
export type Node =
  | Uint8Array
  | { readonly bytes: Uint8Array; readonly metadata: Partial<Metadata> & { readonly link?: Uint8Array } }
  | { readonly to: string | Uint8Array }
  | { readonly special: 'fifo' | 'socket' }
  | readonly (readonly [string | Uint8Array, Node])[]

const metadata = { mode: 0o644, mtimeSec: MTIME_SEC, mtimeNsec: 5, uid: 0, gid: 0 }
const PIECE_BYTES = 1000

interface TestTree {
  readonly versions: TreeVersion[]
  readonly tags: Map<string, TreeVersion>
  readonly complete: Set<string>
}

const newTree = (): TestTree => ({ versions: [], tags: new Map(), complete: new Set() })

export async function createTestMesh() {
  const store = createMemoryStore()
  const trees = new Map<string, TestTree>()
  const removed = new Set<string>()
  const secret = new Set<string>()
  const narrowed = new Map<string, { readonly filter: PathFilter; readonly view: Cid }>()
  const events: { fields: object; event: string }[] = []
  let revision = 0

  async function publish(
    tree: string,
    root: Node,
    { isComplete = true, timeMs }: { isComplete?: boolean; timeMs?: number } = {},
  ): Promise<TreeVersion> {
    const blocks: Block[] = []
    const emit = (block: Block): void => {
      blocks.push(block)
    }
    const entry = await buildNode(new Uint8Array(0), root, emit)
    const index = createBlockIndexBuilder(emit).finish()
    const snapshot = encodeSnapshot({
      tree,
      root: entry,
      index: index.root,
      createdMs: 0,
      chunker: DEFAULT_CHUNKER,
      counts: countsOf(root),
      uncaptured: { count: 0, first: [] },
      notes: {},
    })
    await store.blocks.put([...blocks, snapshot])
    const known = trees.get(tree) ?? newTree()
    trees.set(tree, known)
    const version = {
      sequence: known.versions.length + 1,
      snapshot: snapshot.cid,
      ...(timeMs === undefined ? {} : { timeMs }),
    }
    revision++
    known.versions.push(version)
    if (isComplete) known.complete.add(cidKey(snapshot.cid))
    return version
  }

  const catalogue: Catalogue = {
    names: () => [...trees.keys()],
    isPrivate: (name) => (trees.has(name) ? secret.has(name) : undefined),
    tree(name): ServedTree | undefined {
      const known = trees.get(name)
      if (known === undefined) return undefined
      const { versions, tags, complete } = known
      return {
        name,
        isPrivate: secret.has(name),
        versions,
        tags,
        isComplete: (cid) => complete.has(cidKey(cid)),
        filterOf: (cid) => narrowed.get(cidKey(cid))?.filter,
      }
    },
    revision: () => revision,
  }

  let isUnheld = false
  let reads = 0
  const blocks = {
    async get(cid: Cid, _signal?: AbortSignal) {
      reads++
      return removed.has(cidKey(cid)) ? undefined : store.blocks.get(cid)
    },
    has: (cids: readonly Cid[]) => store.blocks.has(cids),
  }

  async function start(
    options: Partial<GatewayOptions> = {},
    more: {
      notReady?: () => string | undefined
      clock?: Clock
      tokens?: Tokens
      readStatus?: () => StatusDocument
      topology?: Topology
      blocksFor?: GatewayComponents['blocksFor']
      digestValues?: GatewayComponents['digestValues']
    } = {},
  ) {
    const log = (fields: object, event: string): void => {
      events.push({ fields, event })
    }
    const gateway: Gateway = createGateway(
      {
        catalogue,
        blocks,
        readFile: createFileReader({ blocks }, { readAheadBytes: 4096 }).read,
        shown: (snapshot) => narrowed.get(cidKey(snapshot))?.view ?? snapshot,
        blocksFor: more.blocksFor ?? (() => blocks),
        scratch: createMemoryScratch(),
        holdBelow: (cid) => store.blocks.lease({ purpose: 'archive', below: isUnheld ? [] : [cid] }),
        hold: (snapshot) => store.blocks.lease({ purpose: 'answer', roots: [snapshot] }),
        readStatus: more.readStatus ?? emptyStatus,
        readTopology: () => more.topology ?? NO_TOPOLOGY,
        tokens: more.tokens,
        notReady: more.notReady ?? (() => undefined),
        clock: more.clock ?? new VirtualClock(),
        log: { debug: log, info: log, warn: log },
        digestValues: more.digestValues,
      },
      { listen: '127.0.0.1:0', ...options },
    )
    await gateway.start()
    return gateway
  }

  return {
    start,
    publish,
    blocks,
    events,
    /** Blocks that the gateways read so far. */
    reads: () => reads,
    tag(tree: string, tag: string, version: TreeVersion) {
      revision++
      trees.get(tree)?.tags.set(tag, version)
    },
    /** From now on only those who show a token for it may read it. */
    hide(tree: string) {
      revision++
      secret.add(tree)
    },
    /** It is complete here no more: a takedown, or a block that went missing. */
    revoke(tree: string, { snapshot }: TreeVersion) {
      revision++
      trees.get(tree)?.complete.delete(cidKey(snapshot))
    },
    /** This node keeps a part of it: what `view` has. */
    narrow({ snapshot }: TreeVersion, view: TreeVersion, filter: PathFilter) {
      revision++
      narrowed.set(cidKey(snapshot), { filter, view: view.snapshot })
    },
    /** From now on a lease comes too late for a collection that is at work. */
    unhold() {
      isUnheld = true
    },
    /** Everything goes that nobody holds. @param onChosen what the collection waits for once it has chosen */
    collect: (onChosen?: () => Promise<void>) =>
      store.collect({
        async choose() {
          await onChosen?.()
          return { whole: [], partial: [] }
        },
      }),
    remove(cid: Cid) {
      removed.add(cidKey(cid))
    },
  }
}

/** The chunk that holds `offset` of a file made by `publish`. */
export function chunkAt(bytes: Uint8Array, offset: number): Cid {
  const start = Math.floor(offset / PIECE_BYTES) * PIECE_BYTES
  return cidOf(RAW, bytes.subarray(start, start + PIECE_BYTES))
}

/** As an import would count them; what no test looks at is 0. */
function countsOf(root: Node): SnapshotCounts {
  const counts = { files: 0, directories: 0, symlinks: 0, specials: 0, bytes: 0, blocks: 0, blockBytes: 0 }
  const count = (node: Node): void => {
    if (node instanceof Uint8Array || 'bytes' in node) counts.files++
    else if ('special' in node) counts.specials++
    else if ('to' in node) counts.symlinks++
    else {
      counts.directories++
      for (const [, child] of node) count(child)
    }
  }
  count(root)
  const { specials, ...others } = counts
  return specials === 0 ? others : counts
}

async function buildNode(name: Uint8Array, node: Node, emit: (block: Block) => void): Promise<Entry> {
  if ('metadata' in node) {
    return { ...(await buildNode(name, node.bytes, emit)), ...node.metadata } as Entry
  }
  if (node instanceof Uint8Array) {
    const parts = []
    for (let at = 0; at < node.length; at += PIECE_BYTES) {
      const bytes = node.slice(at, at + PIECE_BYTES)
      const cid = cidOf(RAW, bytes)
      emit({ cid, bytes })
      parts.push({ cid, lengthBytes: bytes.length })
    }
    const { content, sizeBytes } = await buildFile(parts, emit)
    return { type: 'file', name, sizeBytes, ...(content === undefined ? {} : { content }), ...metadata }
  }
  if ('special' in node) return { type: node.special, name, ...metadata }
  if ('to' in node) {
    const target = typeof node.to === 'string' ? utf8(node.to) : node.to
    return { type: 'symlink', name, target, ...metadata }
  }
  const entries: Entry[] = []
  for (const [child, childNode] of node) {
    entries.push(await buildNode(typeof child === 'string' ? utf8(child) : child, childNode, emit))
  }
  entries.sort((a, b) => Buffer.compare(a.name, b.name))
  return { type: 'directory', name, directory: await buildDirectory(entries, emit), ...metadata, mode: 0o755 }
}

export function emptyStatus(): StatusDocument {
  const none = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }
  return {
    mesh: { name: 'test', id: 'id' },
    self: { peer: 'p', site: 'hq', region: 'eu', version: '0' },
    sites: [
      {
        ...{ site: 'hq', region: 'eu', peer: 'p', labels: [], drained: false, note: '' },
        ...{ state: 'self', ageSeconds: 0, addresses: [], version: '0' },
      },
    ],
    trees: [],
    traffic: {
      peers: [],
      classes: {
        site: none,
        region: none,
        wan: { bytesSent: 7, bytesReceived: 9, plainBytesSent: 17, plainBytesReceived: 19 },
      },
      blocksSent: 0,
      blocksSentMoreThanOnce: 0,
      deltas: { bytesReceived: 12, bytesMade: 345 },
      bytesSentBeforeComplete: 0,
    },
    alarms: [],
  }
}
