/**
 * The port of the ordered index, and the layout of its keys. Everything in it but values and backings can be rebuilt
 * from packs.
 *
 *   key                                value
 *   "b" + 33-byte block key            where the block lies, 19 bytes, and whose it is, 4 more: see encodePlace
 *   "w" + block key + u32 tree         empty: the block came through that private tree too
 *   "t" + u32 tree                     the name of a private tree (owners.ts). Lost with the index
 *   "p" + u32 pack id                  u48: bytes of that pack, from its start, that the index covers
 *   "d" + u32 pack id                  empty: that pack is being removed, nothing names it any more
 *   "m" + "format"                     u48 2, or 3 once a block has an owner
 *   "m" + "blocks"                     u48: how many "b" keys there are
 *   "m" + "backings"                   u48: the largest id of a backing so far
 *   "f", "g", "r" + ...                backings, their files and blocks: see backing-values.ts. Lost with the index
 *   "v" + namespace + NUL + key        a value
 */
import { MirrorError } from '../../base/errors.ts'
import type { BlockEncoding } from '../../block/encoding.ts'
import { encodingNumber, encodingOf } from '../pack.ts'

export type IndexOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

export interface IndexRange {
  readonly gte: Uint8Array
  readonly lt: Uint8Array
  readonly reverse?: boolean
  readonly limit?: number
}

/** What fails is thrown as a MirrorError. */
export interface Index {
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  /** All or nothing, in the order of the calls: what survives a crash is a prefix of the batches. */
  batch(operations: readonly IndexOperation[], options: { readonly sync: boolean }): Promise<void>
  /** As it was when the iteration began. */
  entries(range: IndexRange): AsyncIterable<[key: Uint8Array, value: Uint8Array]>
  close(): Promise<void>
}

/** Where a block lies, as the index keeps it. `owner`: the private tree it came by (owners.ts); absent, it is everybody's. */
export type Place = PackPlace | FilePlace

export interface PackPlace {
  readonly packId: number
  readonly offset: number
  readonly storedBytes: number
  readonly lengthBytes: number
  readonly encoding: BlockEncoding
  readonly owner?: number
}

/** A range of a file outside of the store (block-backings.ts). */
export interface FilePlace {
  readonly encoding: 'file'
  readonly backingId: number
  readonly fileId: number
  readonly offset: number
  readonly lengthBytes: number
  readonly owner?: number
}

const PLACE_BYTES = 19
const OWNER_BYTES = 4
const IS_OWNED = 0x80
const IN_FILE = 2
const BLOCK = 0x62
const PACK = 0x70
const DOOMED = 0x64
const TREE = 0x74
const OWNER_MARK = 0x77
const META = 'm'
const VALUE = 'v'

/**
 * 1 encoding (0 plain, 1 zstd), 4 pack id, 6 offset, 4 stored bytes, 4 bytes once decoded; big-endian.
 * In a file: 1 encoding (2), 4 backing id, 6 offset, 4 number of the file, 4 bytes. Of a private tree: 0x80 in the
 * encoding, and 4 bytes with the tree's number (0: not known) at the end.
 */
export function encodePlace(place: Place): Uint8Array {
  return writePlace(place, Buffer.alloc(placeBytes(place)))
}

/** The same of many, side by side as `blockIndexKeys`. */
export function encodePlaces(places: readonly Place[]): Uint8Array[] {
  const memory = Buffer.allocUnsafeSlow(places.reduce((sum, place) => sum + placeBytes(place), 0))
  let at = 0
  return places.map((place) => {
    const start = at
    at += placeBytes(place)
    return writePlace(place, memory.subarray(start, at))
  })
}

function placeBytes({ owner }: Place): number {
  return PLACE_BYTES + (owner === undefined ? 0 : OWNER_BYTES)
}

/** All of `bytes` is written. */
function writePlace(place: Place, bytes: Buffer): Uint8Array {
  const { owner } = place
  const isFile = place.encoding === 'file'
  bytes[0] = place.encoding === 'file' ? IN_FILE : encodingNumber(place.encoding)
  bytes.writeUInt32BE(isFile ? place.backingId : place.packId, 1)
  bytes.writeUIntBE(place.offset, 5, 6)
  bytes.writeUInt32BE(isFile ? place.fileId : place.storedBytes, 11)
  bytes.writeUInt32BE(place.lengthBytes, 15)
  if (owner !== undefined) {
    bytes[0] |= IS_OWNED
    bytes.writeUInt32BE(owner, PLACE_BYTES)
  }
  return bytes
}

/** @throws MirrorError `corrupt` */
export function decodePlace(value: Uint8Array): Place {
  const bytes = view(value)
  const isOwned = ((bytes[0] ?? 0) & IS_OWNED) !== 0
  const kind = (bytes[0] ?? 0) & ~IS_OWNED
  const encoding = kind === IN_FILE ? 'file' : encodingOf(kind)
  if (bytes.length !== PLACE_BYTES + (isOwned ? OWNER_BYTES : 0) || encoding === undefined) {
    throw new MirrorError('corrupt', 'the index holds a place that this program cannot read', {
      hint: 'Stop the daemon, move the folder index/ of the store aside and start again: it is rebuilt from packs.',
    })
  }
  const id = bytes.readUInt32BE(1)
  const offset = bytes.readUIntBE(5, 6)
  const third = bytes.readUInt32BE(11)
  const lengthBytes = bytes.readUInt32BE(15)
  const owner = isOwned ? { owner: bytes.readUInt32BE(PLACE_BYTES) } : {}
  return encoding === 'file'
    ? { encoding, backingId: id, fileId: third, offset, lengthBytes, ...owner }
    : { encoding, packId: id, offset, storedBytes: third, lengthBytes, ...owner }
}

export function isSamePlace(a: Place, b: Place): boolean {
  if (a.offset !== b.offset) return false
  if (a.encoding === 'file')
    return b.encoding === 'file' && a.backingId === b.backingId && a.fileId === b.fileId
  return b.encoding !== 'file' && a.packId === b.packId
}

/** @param key the 33 bytes of `cidToKeyBytes` */
export function blockIndexKey(key: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + key.length)
  bytes[0] = BLOCK
  bytes.set(key, 1)
  return bytes
}

/** The same of many, side by side: LevelDB reads small arrays that lie in the heap only after a copy of each was made outside. */
export function blockIndexKeys(keys: readonly Uint8Array[]): Uint8Array[] {
  const memory = Buffer.allocUnsafeSlow(keys.reduce((sum, { length }) => sum + 1 + length, 0))
  let at = 0
  return keys.map((key) => {
    memory[at] = BLOCK
    memory.set(key, at + 1)
    const start = at
    at += 1 + key.length
    return memory.subarray(start, at)
  })
}

export const ALL_BLOCKS: IndexRange = { gte: Uint8Array.of(BLOCK), lt: Uint8Array.of(BLOCK + 1) }
export const ALL_PACKS: IndexRange = { gte: Uint8Array.of(PACK), lt: Uint8Array.of(PACK + 1) }

export const ALL_TREES: IndexRange = { gte: Uint8Array.of(TREE), lt: Uint8Array.of(TREE + 1) }

export function treeIndexKey(number: number): Uint8Array {
  const bytes = Buffer.alloc(5)
  bytes[0] = TREE
  bytes.writeUInt32BE(number, 1)
  return bytes
}

export function numberOfTreeKey(key: Uint8Array): number {
  return view(key).readUInt32BE(1)
}

export function ownerMarkKey(key: Uint8Array, tree: number): Uint8Array {
  const bytes = Buffer.alloc(1 + key.length + OWNER_BYTES)
  bytes[0] = OWNER_MARK
  bytes.set(key, 1)
  bytes.writeUInt32BE(tree, 1 + key.length)
  return bytes
}

/** The marks of one block. */
export function marksOf(key: Uint8Array): IndexRange {
  const gte = new Uint8Array(1 + key.length)
  gte[0] = OWNER_MARK
  gte.set(key, 1)
  const lt = new Uint8Array(gte.length + OWNER_BYTES + 1).fill(0xff)
  lt.set(gte)
  return { gte, lt }
}

export const ALL_DOOMED: IndexRange = { gte: Uint8Array.of(DOOMED), lt: Uint8Array.of(DOOMED + 1) }

/** The blocks whose keys come after `key`. */
export function blocksAfter(key: Uint8Array, limit: number): IndexRange {
  const gte = new Uint8Array(key.length + 2)
  gte.set(blockIndexKey(key))
  return { ...ALL_BLOCKS, gte, limit }
}

export function doomedIndexKey(packId: number): Uint8Array {
  const bytes = packIndexKey(packId)
  bytes[0] = DOOMED
  return bytes
}

export function packIndexKey(packId: number): Uint8Array {
  const bytes = Buffer.alloc(5)
  bytes[0] = PACK
  bytes.writeUInt32BE(packId, 1)
  return bytes
}

export function packIdOfKey(key: Uint8Array): number {
  return view(key).readUInt32BE(1)
}

export function metaIndexKey(name: 'format' | 'blocks' | 'backings'): Uint8Array {
  return Buffer.from(META + name, 'latin1')
}

export function encodeCount(count: number): Uint8Array {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(count, 0, 6)
  return bytes
}

export function decodeCount(value: Uint8Array): number {
  return view(value).readUIntBE(0, 6)
}

export function valueIndexKey(namespace: string, key: string): Uint8Array {
  return Buffer.from(`${VALUE}${namespace}\0${key}`, 'utf8')
}

/** The key after every key of the namespace. */
export function valueIndexEnd(namespace: string): Uint8Array {
  return Buffer.from(`${VALUE}${namespace}\u0001`, 'utf8')
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
