/**
 * What reading threads found out about the files of a batch, in the order of its records, as records of a temporary
 * file: a fixed header a file, then its chunks.
 */
import { DIGEST_BYTES } from '../block/hash.ts'
import type { RecordReader, RecordWriter } from './record-bytes.ts'
import type { Inode } from './spool.ts'

/**
 * `captured` is consistent. `unstable` changed during each try: what the last one read is kept and reported.
 * `failed` could not be read: it is left out and reported.
 */
export const READ_STATUS = ['captured', 'unstable', 'failed'] as const
export type ReadStatus = (typeof READ_STATUS)[number]

export interface ReadHeader {
  readonly status: ReadStatus
  readonly hasHoles: boolean
  readonly sizeBytes: number
  /** As it was when the content was read, which may be later than the scan. */
  readonly inode: Inode
  /** Why it failed; empty otherwise. */
  readonly errno: string
  readonly parts: number
}

const ERRNO_BYTES = 24
export const READ_HEADER_BYTES = 1 + 1 + 8 + 2 + 8 + 4 + 4 + 4 + ERRNO_BYTES + 4

export function encodeReadHeader({
  status,
  hasHoles,
  sizeBytes,
  inode,
  errno,
  parts,
}: ReadHeader): Uint8Array {
  const bytes = Buffer.alloc(READ_HEADER_BYTES)
  let at = bytes.writeUInt8(READ_STATUS.indexOf(status), 0)
  at = bytes.writeUInt8(hasHoles ? 1 : 0, at)
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
  const hasHoles = from.u8() === 1
  const sizeBytes = from.whole()
  const inode: Inode = {
    mode: from.u16(),
    mtimeSec: from.whole(),
    mtimeNsec: from.u32(),
    uid: from.u32(),
    gid: from.u32(),
  }
  const errno = from.view(ERRNO_BYTES).toString('latin1').replace(/\0+$/, '')
  return { status, hasHoles, sizeBytes, inode, errno, parts: from.u32() }
}

/** Bytes that follow the header of one result. */
export function resultBodyBytes({ parts }: ReadHeader): number {
  return parts * (DIGEST_BYTES + 4)
}

export function writePart(out: RecordWriter, digest: Uint8Array, lengthBytes: number): void {
  out.bytes(digest)
  out.u32(lengthBytes)
}

export function readPart(from: RecordReader): { digest: Uint8Array; lengthBytes: number } {
  return { digest: from.bytes(DIGEST_BYTES), lengthBytes: from.u32() }
}
