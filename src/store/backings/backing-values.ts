/**
 * What the index keeps of backings (block-backings.ts). Numbers are big-endian.
 *
 *   key                                          value
 *   "f" + u32 backing                            u8 purpose (0 in-place, 1 check-out, 2 adopted); u32 number of the next
 *                                                file; u16 + label, u16 + mark (UTF-8); u16 + path; u16 + other path, or empty
 *   "g" + u32 backing + u32 file                 u8 1 when it was changed just before it was read; u64 device; u64 inode;
 *                                                u48 size; i64 mtime and i64 ctime in ns; then its path below the backing
 *   "r" + u32 backing + u32 file + u48 offset    33-byte block key; u32 length: a block that was committed there
 *   "m" + "backings"                             u48: the largest id that was given
 *
 * "r" lists what a backing may hold, in the order of its files; where a block lies is said by its "b" key alone.
 */
import { MirrorError } from '../../base/errors.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import type { Backing, FileIdentity } from '../block-backings.ts'
import { BACKING_PURPOSES } from '../block-backings.ts'
import type { FilePlace, IndexRange } from '../index/index.ts'

const BACKING = 0x66
const FILE = 0x67
const RANGE = 0x72
const RANGE_KEY_BYTES = 1 + 4 + 4 + 6
const RANGE_BYTES = CID_KEY_BYTES + 4
const FILE_BYTES = 1 + 8 + 8 + 6 + 8 + 8

export const ALL_BACKINGS: IndexRange = { gte: Uint8Array.of(BACKING), lt: Uint8Array.of(BACKING + 1) }

export interface StoredBacking extends Backing {
  readonly nextFileId: number
}

export interface StoredFile {
  readonly fileId: number
  readonly below: Uint8Array
  readonly identity: FileIdentity
  /** It was changed so shortly before it was read that a later change may have left its times alone. */
  readonly isRacy: boolean
}

export interface StoredRange {
  readonly fileId: number
  readonly offset: number
  readonly key: Uint8Array
  readonly lengthBytes: number
}

export function backingKey(backingId: number): Uint8Array {
  return keyOf(BACKING, backingId)
}

export function fileKey(backingId: number, fileId: number): Uint8Array {
  return keyOf(FILE, backingId, fileId)
}

export function rangeKey(backingId: number, fileId: number, offset: number): Uint8Array {
  const bytes = Buffer.alloc(RANGE_KEY_BYTES)
  bytes.set(keyOf(RANGE, backingId, fileId))
  bytes.writeUIntBE(offset, 9, 6)
  return bytes
}

/** Keys of the backing's files, or of its blocks; of one file only when it is named, or of those from it to `lastFileId`. */
export function backingRange(
  kind: 'files' | 'blocks',
  backingId: number,
  fileId?: number,
  lastFileId = fileId,
): IndexRange {
  const type = kind === 'files' ? FILE : RANGE
  if (fileId === undefined) {
    const gte = keyOf(type, backingId)
    return { gte, lt: successor(gte) }
  }
  return { gte: keyOf(type, backingId, fileId), lt: successor(keyOf(type, backingId, lastFileId!)) }
}

export function encodeBacking(backing: StoredBacking): Uint8Array {
  const head = Buffer.alloc(5)
  head[0] = BACKING_PURPOSES.indexOf(backing.purpose)
  head.writeUInt32BE(backing.nextFileId, 1)
  const parts: Uint8Array[] = [head]
  for (const text of [
    Buffer.from(backing.label),
    Buffer.from(backing.mark ?? ''),
    backing.path,
    backing.alternative ?? new Uint8Array(),
  ]) {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(text.length)
    parts.push(length, text)
  }
  return Buffer.concat(parts)
}

/** @throws MirrorError `corrupt` */
export function decodeBacking(key: Uint8Array, value: Uint8Array): StoredBacking {
  const bytes = view(value)
  const purpose = BACKING_PURPOSES[bytes[0] ?? -1]
  const texts: Buffer[] = []
  let at = 5
  while (texts.length < 4 && at + 2 <= bytes.length) {
    const end = at + 2 + bytes.readUInt16BE(at)
    texts.push(bytes.subarray(at + 2, end))
    at = end
  }
  const [label, mark, path, alternative] = texts
  if (
    purpose === undefined ||
    label === undefined ||
    mark === undefined ||
    path === undefined ||
    alternative === undefined ||
    at !== bytes.length
  )
    throw unreadable('a backing')
  return {
    id: view(key).readUInt32BE(1),
    purpose,
    nextFileId: bytes.readUInt32BE(1),
    label: label.toString(),
    ...(mark.length === 0 ? {} : { mark: mark.toString() }),
    path: new Uint8Array(path),
    ...(alternative.length === 0 ? {} : { alternative: new Uint8Array(alternative) }),
  }
}

export function encodeFile({ identity, isRacy, below }: Omit<StoredFile, 'fileId'>): Uint8Array {
  const bytes = Buffer.alloc(FILE_BYTES + below.length)
  let at = bytes.writeUInt8(isRacy ? 1 : 0, 0)
  at = bytes.writeBigUInt64BE(BigInt.asUintN(64, identity.dev), at)
  at = bytes.writeBigUInt64BE(BigInt.asUintN(64, identity.ino), at)
  at = bytes.writeUIntBE(identity.sizeBytes, at, 6)
  at = bytes.writeBigInt64BE(BigInt.asIntN(64, identity.mtimeNs), at)
  at = bytes.writeBigInt64BE(BigInt.asIntN(64, identity.ctimeNs), at)
  bytes.set(below, at)
  return bytes
}

/** @throws MirrorError `corrupt` */
export function decodeFile(key: Uint8Array, value: Uint8Array): StoredFile {
  const bytes = view(value)
  if (bytes.length < FILE_BYTES) throw unreadable('a backed file')
  return {
    fileId: view(key).readUInt32BE(5),
    isRacy: bytes[0] === 1,
    identity: {
      dev: bytes.readBigUInt64BE(1),
      ino: bytes.readBigUInt64BE(9),
      sizeBytes: bytes.readUIntBE(17, 6),
      mtimeNs: bytes.readBigInt64BE(23),
      ctimeNs: bytes.readBigInt64BE(31),
    },
    below: new Uint8Array(bytes.subarray(FILE_BYTES)),
  }
}

export function encodeRange(key: Uint8Array, lengthBytes: number): Uint8Array {
  const bytes = Buffer.alloc(RANGE_BYTES)
  bytes.set(key)
  bytes.writeUInt32BE(lengthBytes, CID_KEY_BYTES)
  return bytes
}

/** The same of many, with their keys, side by side (`blockIndexKeys` says why). */
export function encodeRanges(
  blocks: readonly { readonly key: Uint8Array; readonly place: FilePlace }[],
): { readonly key: Uint8Array; readonly value: Uint8Array }[] {
  const memory = Buffer.allocUnsafeSlow(blocks.length * (RANGE_KEY_BYTES + RANGE_BYTES))
  return blocks.map(({ key, place: { backingId, fileId, offset, lengthBytes } }, i) => {
    const start = i * (RANGE_KEY_BYTES + RANGE_BYTES)
    const middle = start + RANGE_KEY_BYTES
    memory[start] = RANGE
    memory.writeUInt32BE(backingId, start + 1)
    memory.writeUInt32BE(fileId, start + 5)
    memory.writeUIntBE(offset, start + 9, 6)
    memory.set(key, middle)
    memory.writeUInt32BE(lengthBytes, middle + CID_KEY_BYTES)
    return { key: memory.subarray(start, middle), value: memory.subarray(middle, middle + RANGE_BYTES) }
  })
}

/** @throws MirrorError `corrupt` */
export function decodeRange(key: Uint8Array, value: Uint8Array): StoredRange {
  const bytes = view(value)
  if (bytes.length !== RANGE_BYTES) throw unreadable('a block of a backed file')
  return {
    fileId: view(key).readUInt32BE(5),
    offset: view(key).readUIntBE(9, 6),
    key: new Uint8Array(bytes.subarray(0, CID_KEY_BYTES)),
    lengthBytes: bytes.readUInt32BE(CID_KEY_BYTES),
  }
}

function keyOf(type: number, ...numbers: number[]): Uint8Array {
  const bytes = Buffer.alloc(1 + 4 * numbers.length)
  bytes[0] = type
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number, 1 + 4 * i)
  return bytes
}

/** The key after every key that starts with `prefix`. */
function successor(prefix: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(prefix)
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = (bytes[i]! + 1) & 0xff
    if (bytes[i] !== 0) break
  }
  return bytes
}

function unreadable(what: string): MirrorError {
  return new MirrorError('corrupt', `the index holds ${what} that this program cannot read`, {
    hint: 'Stop the daemon, move the folder index/ of the store aside and start again: it is rebuilt from packs.',
  })
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
