/**
 * The block index: every block of a snapshot once, in the order of `closure`, with its plain length. A page is a leaf
 * of list-split.ts keyed by digest, so consecutive snapshots share pages; its items are one byte string of
 *
 *   offset  bytes  field
 *        0      1  codec: 0x55 chunk, 0x71 node
 *        1     32  BLAKE3-256 digest
 *       33      4  plain length, unsigned, big-endian, 1 to 4 MiB
 *
 * for each block. Branches list the pages with their blocks and bytes. The index is a plan, not a proof: only a walk
 * of the DAG tells what a snapshot needs.
 */
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { CID_KEY_BYTES, cidFromKeyBytes, cidOf, DAG_CBOR } from '../block/cid.ts'
import { CborWriter } from './cbor-writer.ts'
import type { FingerprintSetOptions } from './fingerprint-set.ts'
import { createFingerprintSet } from './fingerprint-set.ts'
import { MAX_NODE_ITEMS } from './limits.ts'
import type { OpenNode } from './list-node.ts'
import { openNode, writeNodeHead } from './list-node.ts'
import type { ListFormat } from './list-split.ts'
import { createListBuilder } from './list-split.ts'

export interface IndexedBlock {
  readonly cid: Cid
  readonly lengthBytes: number
}

export interface IndexPage {
  readonly cid: Cid
  readonly blocks: readonly IndexedBlock[]
}

/** What a branch says of a page or of a branch below it. */
export interface PageRef {
  readonly cid: Cid
  /** Blocks in all pages below. */
  readonly blocks: number
  /** Plain bytes of those blocks. */
  readonly sizeBytes: number
}

export type IndexNode =
  | { readonly kind: 'page'; readonly page: IndexPage }
  | { readonly kind: 'branch'; readonly level: number; readonly children: readonly PageRef[] }

export interface BuiltIndex {
  readonly root: Cid
  readonly blocks: number
  readonly sizeBytes: number
}

export interface BlockIndexBuilder {
  /** Adds a block at the end; one that was added before is dropped. */
  add(cid: Cid, lengthBytes: number): void
  finish(): BuiltIndex
}

const ITEM_BYTES = CID_KEY_BYTES + 4

const FORMAT: ListFormat = {
  leaf: { minItems: 256, averageItems: 1024, maxItems: 4096, maxBytes: 256 * 1024 },
  writeNode(writer, level, count, items) {
    writeNodeHead(writer, 'index', level)
    if (level === 0) writer.bytesHead(items.length)
    else writer.array(count)
    writer.raw(items)
  },
  writeChild(writer, child) {
    writer.array(3)
    writer.cid(child.cid)
    writer.int(child.items)
    writer.int(child.sizeBytes)
  },
}

/**
 * Emits pages and branches as they fill. To drop repeats it holds 25 to 50 bytes for each block or, with a scratch, 32 MB
 * at most.
 */
export function createBlockIndexBuilder(
  emit: (block: Block) => void,
  repeats: FingerprintSetOptions = {},
): BlockIndexBuilder {
  const builder = createListBuilder(FORMAT, emit)
  const seen = createFingerprintSet(repeats)
  const writer = new CborWriter(64)
  return {
    add(cid, lengthBytes) {
      if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > MAX_BLOCK_BYTES) {
        throw new MirrorError(
          'corrupt',
          `a block of ${lengthBytes} bytes cannot be indexed: ${cid.toString()}`,
        )
      }
      if (!seen.add(cid)) return
      writer.clear()
      writeItem(writer, { cid, lengthBytes })
      builder.add(cid.multihash.digest, lengthBytes, writer.view())
    },
    finish() {
      seen.close()
      const { cid, items, sizeBytes } = builder.finish()
      return { root: cid, blocks: items, sizeBytes }
    },
  }
}

/** One page of these blocks, cut nowhere: for an index that grows at its end, page by page. */
export function encodePage(blocks: readonly IndexedBlock[]): Block {
  const items = new CborWriter(ITEM_BYTES * blocks.length)
  for (const block of blocks) writeItem(items, block)
  return encodeNode(0, blocks.length, items)
}

/** A branch of level 1 over these pages. */
export function encodeBranch(pages: readonly PageRef[]): Block {
  const items = new CborWriter(64 * pages.length)
  for (const { cid, blocks, sizeBytes } of pages)
    FORMAT.writeChild(items, { cid, items: blocks, sizeBytes, lastKey: cid.multihash.digest })
  return encodeNode(1, pages.length, items)
}

function encodeNode(level: number, count: number, items: CborWriter): Block {
  const writer = new CborWriter(items.length + 64)
  FORMAT.writeNode(writer, level, count, items.view())
  const bytes = writer.copy()
  return { cid: cidOf(DAG_CBOR, bytes), bytes }
}

function writeItem(writer: CborWriter, { cid, lengthBytes }: IndexedBlock): void {
  writer.byte(cid.code)
  writer.raw(cid.multihash.digest)
  writer.uint32(lengthBytes)
}

/** @throws MirrorError `corrupt`, `limit` or `unsupported` */
export function decodeIndexNode(cid: Cid, bytes: Uint8Array): IndexNode {
  const node = openNode(cid, bytes, 'index')
  return node.level === 0
    ? { kind: 'page', page: { cid, blocks: readBlocks(node) } }
    : { kind: 'branch', level: node.level, children: readChildren(node) }
}

function readBlocks({ reader }: OpenNode): IndexedBlock[] {
  const packed = reader.bytes(MAX_NODE_ITEMS * ITEM_BYTES)
  reader.end()
  if (packed.length % ITEM_BYTES !== 0) throw reader.corrupt('a page ends inside a block')
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
  const blocks: IndexedBlock[] = []
  for (let at = 0; at < packed.length; at += ITEM_BYTES) {
    const lengthBytes = view.getUint32(at + CID_KEY_BYTES)
    if (lengthBytes < 1 || lengthBytes > MAX_BLOCK_BYTES) {
      throw reader.corrupt(`a block has ${lengthBytes} bytes`)
    }
    blocks.push({ cid: cidFromKeyBytes(packed, at), lengthBytes })
  }
  return blocks
}

function readChildren({ reader }: OpenNode): PageRef[] {
  const count = reader.array(MAX_NODE_ITEMS)
  if (count === 0) throw reader.corrupt('a branch has no children')
  const children: PageRef[] = []
  for (let i = 0; i < count; i++) {
    if (reader.array(3) !== 3) throw reader.corrupt('a child has three fields')
    const cid = reader.cid()
    if (cid.code !== DAG_CBOR) throw reader.corrupt('a child is a dag-cbor node')
    const blocks = reader.uint(Number.MAX_SAFE_INTEGER)
    const sizeBytes = reader.uint(Number.MAX_SAFE_INTEGER)
    if (blocks === 0 || sizeBytes < blocks || sizeBytes > blocks * MAX_BLOCK_BYTES) {
      throw reader.corrupt(`${blocks} blocks cannot have ${sizeBytes} bytes`)
    }
    children.push({ cid, blocks, sizeBytes })
  }
  reader.end()
  return children
}
