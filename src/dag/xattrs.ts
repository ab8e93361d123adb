/**
 * Extended attributes of an entry: names and values as bytes, in ascending order of names. POSIX ACLs, capabilities and
 * labels are attributes like all others.
 *
 * A set whose list is MAX_INLINE_XATTR_BYTES or shorter stands in its entry, a longer one in a block of its own, a
 * dag-cbor map of `k` ("xattrs"), `v` (1) and `items` (the list). Which of the two is a function of the set.
 */
import { compareBytes, equalBytes, printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { cidOf, DAG_CBOR } from '../block/cid.ts'
import { CborReader } from './cbor-reader.ts'
import { CborWriter } from './cbor-writer.ts'
import { MAX_INLINE_XATTR_BYTES, MAX_XATTR_NAME_BYTES, MAX_XATTR_VALUE_BYTES } from './limits.ts'
import type { NodeSource } from './source.ts'
import { getBlock } from './source.ts'

export interface Xattr {
  readonly name: Uint8Array
  readonly value: Uint8Array
}

/** Where an entry keeps its attributes; both are absent when it has none. */
export interface XattrFields {
  readonly xattrs?: readonly Xattr[]
  readonly xattrBlock?: Cid
}

export const XATTRS_VERSION = 1

/** Attributes of one set: each takes 5 bytes of a block at least. */
const MAX_XATTRS = MAX_BLOCK_BYTES / 5

const ACL_ACCESS = Buffer.from('system.posix_acl_access')
const ACL_DEFAULT = Buffer.from('system.posix_acl_default')

/** A POSIX ACL, by the name of the attribute that Linux keeps it in. */
export function isAcl(name: Uint8Array): boolean {
  return equalBytes(name, ACL_ACCESS) || equalBytes(name, ACL_DEFAULT)
}

/** The list as it stands in an entry or a block. */
export function writeXattrs(writer: CborWriter, xattrs: readonly Xattr[]): void {
  writer.array(xattrs.length)
  for (const { name, value } of xattrs) {
    writer.array(2)
    writer.bytes(name)
    writer.bytes(value)
  }
}

/** @throws MirrorError `corrupt` or `limit` */
export function readXattrs(reader: CborReader): Xattr[] {
  const xattrs: Xattr[] = []
  for (let left = reader.array(MAX_XATTRS); left > 0; left--) {
    if (reader.array(2) !== 2) throw reader.corrupt('an extended attribute is a name and a value')
    xattrs.push({ name: reader.bytes(MAX_XATTR_NAME_BYTES), value: reader.bytes(MAX_XATTR_VALUE_BYTES) })
  }
  const problem = problemOfXattrs(xattrs)
  if (problem !== undefined) throw reader.corrupt(problem)
  return xattrs
}

/** What both directions hold to. */
export function problemOfXattrs(xattrs: readonly Xattr[]): string | undefined {
  if (xattrs.length === 0) return 'an empty set of extended attributes is none'
  let last: Uint8Array | undefined
  for (const { name, value } of xattrs) {
    if (name.length === 0 || name.length > MAX_XATTR_NAME_BYTES || name.includes(0)) {
      return `the name of an extended attribute is 1 to ${MAX_XATTR_NAME_BYTES} bytes without NUL`
    }
    if (value.length > MAX_XATTR_VALUE_BYTES) {
      return `extended attribute "${printableName(name)}" is over ${MAX_XATTR_VALUE_BYTES} bytes`
    }
    if (last !== undefined && compareBytes(last, name) >= 0) return 'extended attributes are not in order'
    last = name
  }
  return undefined
}

/** Bytes of the list when it is encoded. */
export function xattrsLength(xattrs: readonly Xattr[]): number {
  const writer = new CborWriter(MAX_INLINE_XATTR_BYTES)
  writeXattrs(writer, xattrs)
  return writer.length
}

/**
 * The fields of an entry with these attributes; a block is emitted when they need one.
 * @param xattrs in order; may be empty
 * @returns undefined when no block could hold them
 */
export function placeXattrs(xattrs: readonly Xattr[], emit: (block: Block) => void): XattrFields | undefined {
  if (xattrs.length === 0) return {}
  if (xattrsLength(xattrs) <= MAX_INLINE_XATTR_BYTES) return { xattrs }
  const writer = new CborWriter(4096)
  writer.map(3)
  writer.text('k')
  writer.text('xattrs')
  writer.text('v')
  writer.int(XATTRS_VERSION)
  writer.text('items')
  writeXattrs(writer, xattrs)
  if (writer.length > MAX_BLOCK_BYTES) return undefined
  const bytes = writer.copy()
  const cid = cidOf(DAG_CBOR, bytes)
  emit({ cid, bytes })
  return { xattrBlock: cid }
}

/** @throws MirrorError `corrupt`, `limit`, or `unsupported` for a later version */
export function decodeXattrBlock(cid: Cid, bytes: Uint8Array): readonly Xattr[] {
  const reader = new CborReader(bytes, () => `xattrs node ${cid.toString()}`)
  if (reader.map(3) !== 3) throw reader.corrupt('it has three keys')
  reader.expectKey('k')
  const kind = reader.text(16)
  reader.expectKey('v')
  const version = reader.uint(Number.MAX_SAFE_INTEGER)
  if (version !== XATTRS_VERSION) {
    throw new MirrorError('unsupported', `xattrs node ${cid.toString()} has format version ${version}`, {
      hint: 'Upgrade this node: the snapshot was made by a newer version.',
    })
  }
  if (kind !== 'xattrs') throw reader.corrupt('it is a node of another kind')
  reader.expectKey('items')
  const xattrs = readXattrs(reader)
  reader.end()
  if (xattrsLength(xattrs) <= MAX_INLINE_XATTR_BYTES) throw reader.corrupt('so few belong in the entry')
  return xattrs
}

/** The attributes of an entry, wherever they lie; `lengthBytes` is that of their block. */
export async function loadXattrs(
  source: NodeSource,
  { xattrs, xattrBlock }: XattrFields,
  signal?: AbortSignal,
): Promise<{ readonly xattrs: readonly Xattr[]; readonly lengthBytes: number }> {
  if (xattrBlock === undefined) return { xattrs: xattrs ?? [], lengthBytes: 0 }
  const bytes = await getBlock(source, xattrBlock, 'extended attributes', signal)
  return { xattrs: decodeXattrBlock(xattrBlock, bytes), lengthBytes: bytes.length }
}
