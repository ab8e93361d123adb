/**
 * Directories: entries in strictly ascending order of their raw names, in one leaf or in a tree of them
 * (list-split.ts, keyed by name). A branch lists, for each child, its greatest name, its CID and its entries.
 */
import { compareBytes, printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { DAG_CBOR } from '../block/cid.ts'
import type { CborReader } from './cbor-reader.ts'
import { CborWriter } from './cbor-writer.ts'
import type { Entry } from './entry.ts'
import { checkName, readEntry, writeEntry } from './entry.ts'
import { entryWeight } from './entry-weight.ts'
import { MAX_NAME_BYTES, MAX_NODE_ITEMS } from './limits.ts'
import { openNode, writeNodeHead } from './list-node.ts'
import type { ListFormat } from './list-split.ts'
import { createListBuilder, NODE_SPLIT } from './list-split.ts'

export interface DirectoryChild {
  readonly cid: Cid
  /** Entries in all leaves below. */
  readonly entries: number
  /** The greatest name below. */
  readonly lastName: Uint8Array
}

export type DirectoryNode =
  | { readonly kind: 'leaf'; readonly entries: readonly Entry[] }
  | { readonly kind: 'branch'; readonly level: number; readonly children: readonly DirectoryChild[] }

const FORMAT: ListFormat = {
  leaf: NODE_SPLIT,
  writeNode(writer, level, count, items) {
    writeNodeHead(writer, 'dir', level)
    writer.array(count)
    writer.raw(items)
  },
  writeChild(writer, child) {
    writer.array(3)
    writer.bytes(child.lastKey)
    writer.cid(child.cid)
    writer.int(child.items)
  },
}

/**
 * Emits the nodes of one directory, children before parents, and returns its root's CID.
 * @param entries in strictly ascending order of their raw names; checked
 * @throws MirrorError `corrupt` for a name out of order or an entry out of bounds
 */
export function buildDirectory(entries: Iterable<Entry>, emit: (block: Block) => void): Cid {
  const builder = createDirectoryBuilder(emit)
  for (const entry of entries) builder.add(entry)
  return builder.finish()
}

/** The same, an entry at a time. */
export function createDirectoryBuilder(emit: (block: Block) => void): {
  add(entry: Entry): void
  finish(): Cid
} {
  const builder = createListBuilder(FORMAT, emit)
  const writer = new CborWriter(512)
  let last: Uint8Array | undefined
  return {
    add(entry) {
      const { name } = entry
      checkName(name)
      if (last !== undefined && compareBytes(last, name) >= 0) throw outOfOrder(last, name)
      writer.clear()
      writeEntry(writer, entry)
      builder.add(name, 0, writer.view(), entryWeight(entry))
      last = name
    },
    finish: () => builder.finish().cid,
  }
}

function outOfOrder(last: Uint8Array, name: Uint8Array): MirrorError {
  return new MirrorError(
    'corrupt',
    `names out of order: "${printableName(name)}" after "${printableName(last)}"`,
  )
}

/** @throws MirrorError `corrupt`, `limit` or `unsupported` */
export function decodeDirectoryNode(cid: Cid, bytes: Uint8Array): DirectoryNode {
  const { level, reader } = openNode(cid, bytes, 'dir')
  const count = reader.array(MAX_NODE_ITEMS)
  if (level === 0) {
    const entries: Entry[] = []
    let last: Uint8Array | undefined
    for (let i = 0; i < count; i++) {
      const entry = readEntry(reader)
      checkName(entry.name)
      if (last !== undefined && compareBytes(last, entry.name) >= 0) throw outOfOrder(last, entry.name)
      last = entry.name
      entries.push(entry)
    }
    reader.end()
    return { kind: 'leaf', entries }
  }
  if (count === 0) throw reader.corrupt('a branch has no children')
  const children: DirectoryChild[] = []
  let last: Uint8Array | undefined
  for (let i = 0; i < count; i++) {
    const child = readChild(reader)
    if (last !== undefined && compareBytes(last, child.lastName) >= 0) throw outOfOrder(last, child.lastName)
    last = child.lastName
    children.push(child)
  }
  reader.end()
  return { kind: 'branch', level, children }
}

function readChild(reader: CborReader): DirectoryChild {
  if (reader.array(3) !== 3) throw reader.corrupt('a child has three fields')
  const lastName = reader.bytes(MAX_NAME_BYTES)
  checkName(lastName)
  const cid = reader.cid()
  if (cid.code !== DAG_CBOR) throw reader.corrupt('a child is a dag-cbor node')
  const entries = reader.uint(Number.MAX_SAFE_INTEGER)
  if (entries === 0) throw reader.corrupt('a child holds no entries')
  return { cid, entries, lastName }
}
