/**
 * Files of several chunks: the list of chunks in order, in one leaf or in a tree of them (list-split.ts, keyed by
 * the chunk's digest). A file of one chunk has no node: its entry names the chunk. An empty file has no content.
 */
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { DAG_CBOR, RAW } from '../block/cid.ts'
import { CborWriter } from './cbor-writer.ts'
import { MAX_NODE_ITEMS } from './limits.ts'
import { openNode, writeNodeHead } from './list-node.ts'
import type { ListFormat } from './list-split.ts'
import { createListBuilder, NODE_SPLIT } from './list-split.ts'

export interface FilePart {
  readonly cid: Cid
  readonly lengthBytes: number
  /** Of a file that lies in its directory: there is no such block. */
  readonly inline?: Uint8Array
}

export interface BuiltFile {
  /** What the file's entry carries; absent exactly when `sizeBytes` is 0. */
  readonly content?: Cid
  readonly sizeBytes: number
}

export interface FileBuilder {
  add(part: FilePart): void
  finish(): BuiltFile
}

export interface FileNode {
  readonly level: number
  /** Level 0: raw chunks. Above: file nodes with the bytes below each. */
  readonly parts: readonly FilePart[]
  readonly sizeBytes: number
}

const FORMAT: ListFormat = {
  leaf: NODE_SPLIT,
  writeNode(writer, level, count, items) {
    writeNodeHead(writer, 'file', level)
    writer.array(count)
    writer.raw(items)
  },
  writeChild: (writer, child) => writePart(writer, child.cid, child.sizeBytes),
}

function writePart(writer: CborWriter, cid: Cid, lengthBytes: number): void {
  writer.array(2)
  writer.cid(cid)
  writer.int(lengthBytes)
}

/** Emits the file's nodes (none for a file of one chunk) after their parts. */
export function createFileBuilder(emit: (block: Block) => void): FileBuilder {
  let sizeBytes = 0
  let first: FilePart | undefined
  // Made for the second part: most files have one, hence no node, and need no buffers.
  let add: ((part: FilePart) => void) | undefined
  let finishList: (() => Cid) | undefined

  function startList(): (part: FilePart) => void {
    const builder = createListBuilder(FORMAT, emit)
    const writer = new CborWriter(64)
    finishList = () => builder.finish().cid
    return ({ cid, lengthBytes }) => {
      writer.clear()
      writePart(writer, cid, lengthBytes)
      builder.add(cid.multihash.digest, lengthBytes, writer.view())
    }
  }

  return {
    add(part) {
      const { cid, lengthBytes } = part
      if (
        cid.code !== RAW ||
        !Number.isSafeInteger(lengthBytes) ||
        lengthBytes < 1 ||
        lengthBytes > MAX_BLOCK_BYTES
      ) {
        throw new MirrorError(
          'corrupt',
          `a file's part is a raw chunk of 1 to ${MAX_BLOCK_BYTES} bytes, not ${lengthBytes}`,
        )
      }
      sizeBytes += lengthBytes
      if (first === undefined) {
        first = part
        return
      }
      if (add === undefined) {
        add = startList()
        add(first)
      }
      add(part)
    },
    finish() {
      if (first === undefined) return { sizeBytes: 0 }
      return { content: finishList === undefined ? first.cid : finishList(), sizeBytes }
    },
  }
}

export function buildFile(parts: Iterable<FilePart>, emit: (block: Block) => void): BuiltFile {
  const builder = createFileBuilder(emit)
  for (const part of parts) builder.add(part)
  return builder.finish()
}

/** @throws MirrorError `corrupt`, `limit` or `unsupported` */
export function decodeFileNode(cid: Cid, bytes: Uint8Array): FileNode {
  const { level, reader } = openNode(cid, bytes, 'file')
  const count = reader.array(MAX_NODE_ITEMS)
  if (count === 0) throw reader.corrupt('a file node has no parts')
  const parts: FilePart[] = []
  let sizeBytes = 0
  for (let i = 0; i < count; i++) {
    if (reader.array(2) !== 2) throw reader.corrupt('a part has two fields')
    const part = reader.cid()
    if (part.code !== (level === 0 ? RAW : DAG_CBOR))
      throw reader.corrupt('a part has the codec of another level')
    const lengthBytes = reader.uint(level === 0 ? MAX_BLOCK_BYTES : Number.MAX_SAFE_INTEGER)
    if (lengthBytes === 0) throw reader.corrupt('a part is empty')
    sizeBytes += lengthBytes
    parts.push({ cid: part, lengthBytes })
  }
  if (!Number.isSafeInteger(sizeBytes)) throw reader.corrupt('the parts add up to more than 53 bits')
  reader.end()
  return { level, parts, sizeBytes }
}
