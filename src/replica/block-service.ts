/**
 * Serves other members out of this node's store: control objects of a tree by CID, blocks by (tree, page, offset),
 * holdings to those who watch. Whatever the asker may not read, and whatever did not come here through that tree, is
 * answered as not held. Everything served was verified when it was read from the store.
 */
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { IndexPage } from '../dag/block-index.ts'
import { decodeIndexNode } from '../dag/block-index.ts'
import type { BlockServer, HoldingUpdate, ServedBlock } from '../net/ports.ts'
import type { BlockStore } from '../store/block-store.ts'
import type { Holdings } from './holdings.ts'
import type { Traffic } from './traffic.ts'
import { createWireEncoder } from './wire-encoder.ts'

/** Decoded pages kept at hand. */
const MAX_CACHED_PAGES = 96
/** Blocks read and sent together, but for a larger one, which goes alone. */
const BATCH_BYTES = 64 * 1024
const BATCH_BLOCKS = 128
/** Batches, and bytes of them, read ahead of what the network takes. */
const READ_AHEAD = 8
const READ_AHEAD_BYTES = 2 * BATCH_BYTES
/** Snapshots that one peer may watch at a time. */
const MAX_WATCHES = 256

export interface BlockServiceComponents {
  readonly blocks: Pick<BlockStore, 'get' | 'getEncoded'>
  readonly holdings: Holdings
  readonly traffic: Traffic
  readonly mayRead: (peer: string, tree: string) => boolean
  /** Across a link where bytes cost more than CPU: blocks that rest plain are compressed for it. Never, by default. */
  readonly isFar?: (peer: string, tree: string) => boolean
}

export function createBlockService({
  blocks,
  holdings,
  traffic,
  mayRead,
  isFar = () => false,
}: BlockServiceComponents): BlockServer {
  const encoder = createWireEncoder({ blocks })
  const pages = new Map<string, IndexPage>()
  const watches = new Map<string, number>()

  /** A page that came here through the tree. By both names: one that came through another tree alone is not served. */
  async function pageOf(tree: string, cid: Cid): Promise<IndexPage | undefined> {
    const key = `${tree} ${cidKey(cid)}`
    const cached = pages.get(key)
    if (cached !== undefined) {
      pages.delete(key)
      pages.set(key, cached)
      return cached
    }
    if (!(await holdings.isAllowed(tree, cid))) return undefined
    const bytes = await blocks.get(cid)
    if (bytes === undefined) return undefined
    const node = decodeIndexNode(cid, bytes)
    if (node.kind !== 'page') return undefined
    if (pages.size >= MAX_CACHED_PAGES) pages.delete(pages.keys().next().value!)
    pages.set(key, node.page)
    return node.page
  }

  return {
    async object(peer, tree, cid, signal) {
      if (!mayRead(peer, tree) || !(await holdings.isAllowed(tree, cid))) return undefined
      const bytes = await blocks.get(cid, signal)
      if (bytes !== undefined) traffic.sentObject(peer, bytes.length)
      return bytes
    },
    async *blocks(peer, { tree, page: pageCid, offsets, acceptsZstd }, signal): AsyncIterable<ServedBlock[]> {
      const page = mayRead(peer, tree) ? await pageOf(tree, pageCid) : undefined
      const isIncomplete = holdings.isInProgress(tree, pageCid)
      const read = async (offset: number): Promise<ServedBlock> => {
        const block = page?.blocks[offset]
        if (block === undefined) return { offset }
        if (acceptsZstd !== true) {
          const bytes = await blocks.get(block.cid, signal)
          return bytes === undefined ? { offset } : { offset, bytes }
        }
        const found = await encoder.encode(block.cid, isFar(peer, tree), signal)
        if (found === undefined) return { offset }
        const { encoding, bytes, lengthBytes } = found
        return { offset, bytes, ...(encoding === 'zstd' ? { zstdOfBytes: lengthBytes } : {}) }
      }
      const batches = batchesOf(offsets, (offset) => page?.blocks[offset]?.lengthBytes ?? 0)
      const ahead: { readonly lengthBytes: number; readonly served: Promise<ServedBlock[]> }[] = []
      let aheadBytes = 0
      for (let isEnd = false; ; ) {
        while (!isEnd && ahead.length < READ_AHEAD && (ahead.length < 2 || aheadBytes < READ_AHEAD_BYTES)) {
          const next = batches.next()
          if (next.done === true) {
            isEnd = true
            break
          }
          const { lengthBytes } = next.value
          const served = Promise.all(next.value.offsets.map(read))
          // Awaited below; until then a failure is nobody's, and must not end the process.
          served.catch(() => undefined)
          ahead.push({ lengthBytes, served })
          aheadBytes += lengthBytes
        }
        signal.throwIfAborted()
        const first = ahead.shift()
        if (first === undefined) return
        aheadBytes -= first.lengthBytes
        const served = await first.served
        for (const { offset, bytes, zstdOfBytes } of served) {
          if (bytes === undefined) continue
          const plainBytes = zstdOfBytes ?? bytes.length
          const sent = { tree, page: pageCid, offset, bytes: bytes.length, plainBytes, isIncomplete }
          traffic.sentBlock(peer, sent)
        }
        yield served
      }
    },
    async *watch(peer, { tree, snapshot }, signal): AsyncIterable<HoldingUpdate> {
      const count = watches.get(peer) ?? 0
      if (count >= MAX_WATCHES)
        throw new MirrorError('busy', `peer ${peer} watches ${count} snapshots already`, { facts: { peer } })
      watches.set(peer, count + 1)
      try {
        if (mayRead(peer, tree)) yield* holdings.watch(tree, snapshot, signal)
        else yield { kind: 'unknown' }
      } finally {
        const left = watches.get(peer)! - 1
        if (left > 0) watches.set(peer, left)
        else watches.delete(peer)
      }
    },
  }
}

interface Batch {
  readonly offsets: readonly number[]
  /** Of the plain blocks. */
  readonly lengthBytes: number
}

function* batchesOf(offsets: readonly number[], lengthOf: (offset: number) => number): Generator<Batch> {
  let batch: number[] = []
  let lengthBytes = 0
  for (const offset of offsets) {
    const nextBytes = lengthOf(offset)
    if (batch.length === BATCH_BLOCKS || (batch.length > 0 && lengthBytes + nextBytes > BATCH_BYTES)) {
      yield { offsets: batch, lengthBytes }
      batch = []
      lengthBytes = 0
    }
    batch.push(offset)
    lengthBytes += nextBytes
  }
  if (batch.length > 0) yield { offsets: batch, lengthBytes }
}
