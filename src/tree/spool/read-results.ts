/**
 * What reading threads found out about the files of a batch, in the order of its records, as records of a temporary
 * file: a header of fixed size for each file, what the header says that follows, then runs of equal chunks.
 */
import { DIGEST_BYTES } from '../../block/hash.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import type { RecordReader, RecordWriter } from './record-bytes.ts'
import type { Inode } from './spool.ts'
import { readXattrRecords, writeXattrRecords } from './xattr-records.ts'

/**
 * `captured` is consistent. `unstable` changed during each try: what the last one read is kept and reported.
 * `failed` could not be read: it is left out and reported.
 */
export const READ_STATUS = ['captured', 'unstable', 'failed'] as const
export type ReadStatus = (typeof READ_STATUS)[number]

export interface ReadHeader {
  readonly status: ReadStatus
  /** Which of the extras were written after the header, and their length. */
  readonly extras: number
  readonly extrasBytes: number
  readonly sizeBytes: number
  /** As it was when the content was read, which may be later than the scan. */
  readonly inode: Inode
  /** Why it failed; empty otherwise. */
  readonly errno: string
  /** Runs of chunks. */
  readonly parts: number
}

export interface ReadExtras {
  /** Offset and length by turns, normalised. */
  readonly holes?: readonly number[]
  /** As they were when the content was read again: those of the scan are not of that moment. */
  readonly xattrs?: readonly Xattr[]
  /** What was not captured although the file was. */
  readonly note?: string
  /** The content of a small file, which then is no chunk. */
  readonly inline?: Uint8Array
}

const HOLES = 1
const XATTRS = 2
const NOTE = 4
const INLINE = 8

const ERRNO_BYTES = 24
/** Digest, length, count. */
export const PART_BYTES = DIGEST_BYTES + 4 + 4
export const READ_HEADER_BYTES = 1 + 1 + 4 + 8 + 2 + 8 + 4 + 4 + 4 + ERRNO_BYTES + 4

export function encodeReadHeader(header: ReadHeader): Uint8Array {
  const { status, extras, extrasBytes, sizeBytes, inode, errno, parts } = header
  const bytes = Buffer.alloc(READ_HEADER_BYTES)
  let at = bytes.writeUInt8(READ_STATUS.indexOf(status), 0)
  at = bytes.writeUInt8(extras, at)
  at = bytes.writeUInt32LE(extrasBytes, at)
  at = bytes.writeDoubleLE(sizeBytes, at)
  at = bytes.writeUInt16LE(inode.mode, at)
  at = bytes.writeDoubleLE(inode.mtimeSec, at)
  at = bytes.writeUInt32LE(inode.mtimeNsec, at)
  at = bytes.writeUInt32LE(inode.uid, at)
  at = bytes.writeUInt32LE(inode.gid, at)
  bytes.write(errno.slice(0, ERRNO_BYTES), at, 'latin1')
  bytes.writeUInt32LE(parts, at + ERRNO_BYTES)
  return bytes
}

export function readReadHeader(from: RecordReader): ReadHeader {
  const status = READ_STATUS[from.u8()]!
  const extras = from.u8()
  const extrasBytes = from.u32()
  const sizeBytes = from.whole()
  const inode: Inode = {
    mode: from.u16(),
    mtimeSec: from.whole(),
    mtimeNsec: from.u32(),
    uid: from.u32(),
    gid: from.u32(),
  }
  const errno = from.view(ERRNO_BYTES).toString('latin1').replace(/\0+$/, '')
  return { status, extras, extrasBytes, sizeBytes, inode, errno, parts: from.u32() }
}

/** Bytes that follow the header of one result. */
export function resultBodyBytes({ extrasBytes, parts }: ReadHeader): number {
  return extrasBytes + parts * PART_BYTES
}

/** Right after the header. Returns what the header shall say of them. */
export function writeReadExtras(
  out: RecordWriter,
  { holes, xattrs, note, inline }: ReadExtras,
): Pick<ReadHeader, 'extras' | 'extrasBytes'> {
  const startByte = out.position
  let extras = 0
  if (holes !== undefined && holes.length > 0) {
    extras |= HOLES
    out.u32(holes.length)
    for (const value of holes) out.whole(value)
  }
  if (xattrs !== undefined) {
    extras |= XATTRS
    writeXattrRecords(out, xattrs)
  }
  if (note !== undefined) {
    extras |= NOTE
    const text = Buffer.from(note)
    out.u16(text.length)
    out.bytes(text)
  }
  if (inline !== undefined) {
    extras |= INLINE
    out.u16(inline.length)
    out.bytes(inline)
  }
  return { extras, extrasBytes: out.position - startByte }
}

export function readReadExtras(from: RecordReader, extras: number): ReadExtras {
  const found: { -readonly [Key in keyof ReadExtras]: ReadExtras[Key] } = {}
  if (extras & HOLES) found.holes = Array.from({ length: from.u32() }, () => from.whole())
  if (extras & XATTRS) found.xattrs = readXattrRecords(from)
  if (extras & NOTE) found.note = from.view(from.u16()).toString()
  if (extras & INLINE) found.inline = from.bytes(from.u16())
  return found
}

/** `count` equal chunks in a row. */
export function writePart(out: RecordWriter, digest: Uint8Array, lengthBytes: number, count: number): void {
  out.bytes(digest)
  out.u32(lengthBytes)
  out.u32(count)
}

export function readPart(from: RecordReader): { digest: Uint8Array; lengthBytes: number; count: number } {
  return { digest: from.bytes(DIGEST_BYTES), lengthBytes: from.u32(), count: from.u32() }
}
