/**
 * Serves other members out of this node's store: control objects of a tree by CID, blocks by (tree, page, offset),
 * holdings to those who watch. Whatever the asker may not read, and whatever did not come here through that tree, is
 * answered as not held. Everything served was verified when it was read from the store.
 */
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { EncodedBlock } from '../../block/encoding.ts'
import type { IndexPage } from '../../dag/block-index.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import type { BlockServer, HoldingUpdate, ServedBlock } from '../../net/ports.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { Holdings } from '../holdings/holdings.ts'
import type { SentBlock, Traffic } from '../traffic.ts'
import { createObjectsOver } from './objects-over.ts'
import { createWireEncoder } from './wire-encoder.ts'

/** Decoded pages kept at hand. */
const MAX_CACHED_PAGES = 96
/** Plain bytes, by what the page says, and blocks that are read at once; the next are read while these are sent. */
const MAX_READ_BYTES = 512 * 1024
const MAX_READ_BLOCKS = 128
/** As they travel: of what is sent together, but for a larger block, which goes alone. */
const MAX_SENT_BYTES = 64 * 1024
/** Snapshots that one peer may watch at a time. */
const MAX_WATCHES = 256

type ServedBlocks = Pick<BlockStore, 'get' | 'getEncoded' | 'has'>

export interface BlockServiceComponents {
  readonly blocks: ServedBlocks
  /** The store as a tree has it; the same for all trees where none is private. */
  readonly blocksOf?: (tree: string) => ServedBlocks
  readonly holdings: Holdings
  readonly traffic: Traffic
  /** Asked again and again while something is given: a right may end at any time. */
  readonly mayRead: (peer: string, tree: string) => boolean
  /** Across a link where bytes cost more than CPU: blocks that rest plain are compressed for it. Never, by default. */
  readonly isFar?: (peer: string, tree: string) => boolean
}

export function createBlockService({
  blocks,
  blocksOf = () => blocks,
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
    const bytes = await blocksOf(tree).get(cid)
    if (bytes === undefined) return undefined
    const node = decodeIndexNode(cid, bytes)
    if (node.kind !== 'page') return undefined
    if (pages.size >= MAX_CACHED_PAGES) pages.delete(pages.keys().next().value!)
    pages.set(key, node.page)
    return node.page
  }

  /** All at once. Offsets beyond the page's end are answered as not held. */
  async function readBlocks(
    from: ServedBlocks,
    page: IndexPage,
    offsets: readonly number[],
    acceptsZstd: boolean,
    isTravellingFar: boolean,
    signal: AbortSignal,
  ): Promise<ServedBlock[]> {
    const known = offsets.filter((offset) => page.blocks[offset] !== undefined)
    const cids = known.map((offset) => page.blocks[offset]!.cid)
    const found = acceptsZstd
      ? await encoder.encode(cids, isTravellingFar, signal, from)
      : await Promise.all(cids.map(async (cid) => plain(await from.get(cid, signal))))
    const served = known.map((offset, i): ServedBlock => {
      const block = found[i]
      if (block === undefined) return { offset }
      const { encoding, bytes, lengthBytes } = block
      return encoding === 'zstd' ? { offset, bytes, zstdOfBytes: lengthBytes } : { offset, bytes }
    })
    if (known.length === offsets.length) return served
    return [
      ...served,
      ...offsets.flatMap((offset) => (page.blocks[offset] === undefined ? [{ offset }] : [])),
    ]
  }

  async function readObject(
    peer: string,
    tree: string,
    cid: Cid,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    if (!mayRead(peer, tree) || !(await holdings.isAllowed(tree, cid))) return undefined
    const bytes = await blocksOf(tree).get(cid, signal)
    return mayRead(peer, tree) ? bytes : undefined
  }

  const objectsOver = createObjectsOver()

  return {
    async object(peer, tree, cid, signal) {
      const bytes = await readObject(peer, tree, cid, signal)
      if (bytes !== undefined) traffic.sentObject(peer, bytes.length)
      return bytes
    },
    async objectOver(peer, tree, { cid, bases }, signal) {
      const found = await objectsOver.encode(cid, bases, (each) => readObject(peer, tree, each, signal))
      if (found === undefined || !mayRead(peer, tree)) return undefined
      traffic.sentObject(peer, found.bytes.length, found.over.lengthBytes)
      return found
    },
    async *blocks(peer, { tree, page: pageCid, offsets, acceptsZstd }, signal): AsyncIterable<ServedBlock[]> {
      const page = mayRead(peer, tree) ? await pageOf(tree, pageCid) : undefined
      if (page === undefined) {
        yield offsets.map((offset) => ({ offset }))
        return
      }
      const from = blocksOf(tree)
      const isIncomplete = holdings.isInProgress(tree, pageCid)
      const read = (part: readonly number[]): Promise<ServedBlock[]> => {
        const reading = readBlocks(from, page, part, acceptsZstd === true, isFar(peer, tree), signal)
        // Awaited below; until then a failure is nobody's, and must not end the process.
        reading.catch(() => undefined)
        return reading
      }
      const parts = cut(offsets, (offset) => page.blocks[offset]?.lengthBytes ?? 0, MAX_READ_BYTES)
      let next = read(parts[0] ?? [])
      for (let at = 0; at < parts.length; at++) {
        const served = await next
        if (at + 1 < parts.length) next = read(parts[at + 1]!)
        for (const batch of cut(served, ({ bytes }) => bytes?.length ?? 0, MAX_SENT_BYTES)) {
          signal.throwIfAborted()
          // What was not answered by then is answered as not held.
          if (!mayRead(peer, tree)) return
          const sent: SentBlock[] = []
          for (const { offset, bytes, zstdOfBytes } of batch)
            if (bytes !== undefined)
              sent.push({ offset, bytes: bytes.length, plainBytes: zstdOfBytes ?? bytes.length })
          traffic.sentBlocks(peer, { tree, page: pageCid, isIncomplete }, sent)
          yield batch
        }
      }
    },
    async *watch(peer, { tree, snapshot }, signal): AsyncIterable<HoldingUpdate> {
      const count = watches.get(peer) ?? 0
      if (count >= MAX_WATCHES)
        throw new MirrorError('busy', `peer ${peer} watches ${count} snapshots already`, { facts: { peer } })
      watches.set(peer, count + 1)
      try {
        if (mayRead(peer, tree)) {
          for await (const update of holdings.watch(tree, snapshot, signal)) {
            if (!mayRead(peer, tree)) break
            yield update
          }
        }
        // The watch ends with it: who gets the right later asks again.
        if (!mayRead(peer, tree)) yield { kind: 'unknown' }
      } finally {
        const left = watches.get(peer)! - 1
        if (left > 0) watches.set(peer, left)
        else watches.delete(peer)
      }
    },
  }
}

function plain(bytes: Uint8Array | undefined): EncodedBlock | undefined {
  return bytes && { encoding: 'plain', bytes, lengthBytes: bytes.length }
}

/** In order, into parts of `maxBytes` and MAX_READ_BLOCKS at most, or of one. */
function cut<T>(all: readonly T[], bytesOf: (item: T) => number, maxBytes: number): T[][] {
  const parts: T[][] = []
  let part: T[] = []
  let partBytes = 0
  for (const item of all) {
    const bytes = bytesOf(item)
    if (part.length > 0 && (part.length >= MAX_READ_BLOCKS || partBytes + bytes > maxBytes)) {
      parts.push(part)
      part = []
      partBytes = 0
    }
    part.push(item)
    partBytes += bytes
  }
  if (part.length > 0) parts.push(part)
  return parts
}
