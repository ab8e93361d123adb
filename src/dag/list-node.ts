/**
 * The frame that nodes of directories, files and the block index have in common: a dag-cbor map
 *
 *   k      kind: "dir", "file" or "index"
 *   l      level: 0 for a leaf, else one more than its children's
 *   v      version of the format: 1
 *   items  the leaf's items, or the branch's children
 */
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { CborReader } from './cbor-reader.ts'
import type { CborWriter } from './cbor-writer.ts'
import { MAX_LEVEL } from './limits.ts'

export type ListKind = 'dir' | 'file' | 'index'

export const NODE_VERSION = 1

const KIND = 0x6b // k
const LEVEL = 0x6c // l
const VERSION = 0x76 // v

/** Everything before the value of `items`. */
export function writeNodeHead(writer: CborWriter, kind: ListKind, level: number): void {
  writer.map(4)
  writer.key(KIND)
  writer.text(kind)
  writer.key(LEVEL)
  writer.int(level)
  writer.key(VERSION)
  writer.int(NODE_VERSION)
  writer.text('items')
}

/** A map of four, whose first key "k" has the text "dir". */
const DIRECTORY_HEAD = [0xa4, 0x61, KIND, 0x63, 0x64, 0x69, 0x72]

/** By the first bytes: of a block that may be any node. */
export function isDirectoryNode(bytes: Uint8Array): boolean {
  return DIRECTORY_HEAD.every((byte, at) => bytes[at] === byte)
}

export interface OpenNode {
  readonly level: number
  /** Stands before the value of `items`. */
  readonly reader: CborReader
}

/** @throws MirrorError `unsupported` for a later version, else `corrupt` or `limit` */
export function openNode(cid: Cid, bytes: Uint8Array, kind: ListKind): OpenNode {
  const reader = new CborReader(bytes, () => `${kind} node ${cid.toString()}`)
  if (reader.map(4) !== 4) throw reader.corrupt('a node has four keys')
  reader.expectKey('k')
  const found = reader.text(16)
  reader.expectKey('l')
  const level = reader.uint(MAX_LEVEL)
  reader.expectKey('v')
  const version = reader.uint(Number.MAX_SAFE_INTEGER)
  if (version !== NODE_VERSION) {
    throw new MirrorError('unsupported', `${kind} node ${cid.toString()} has format version ${version}`, {
      hint: 'Upgrade this node: the snapshot was made by a newer version.',
    })
  }
  if (found !== kind) throw reader.corrupt(`it is a node of another kind`)
  reader.expectKey('items')
  return { level, reader }
}
