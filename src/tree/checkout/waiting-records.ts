/** Entries that a check-out comes back to when others are written, as records of a temporary file. */
import type { Entry, LinkableEntry } from '../../dag/entry.ts'
import { isDevice } from '../../dag/entry.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import type { RecordReader, RecordWriter } from '../spool/record-bytes.ts'
import { createRecordReader } from '../spool/record-bytes.ts'
import { readXattrRecords, writeXattrRecords } from '../spool/xattr-records.ts'
import type { TaskMetadata } from './checkout-threads.ts'

const TYPES = ['directory', 'file', 'symlink', 'fifo', 'socket', 'block-device', 'character-device'] as const

export const NO_SLOT = 0xffff_ffff

export interface WaitingEntry {
  /** Path of the directory or the large file, or of the name that exists. */
  readonly a: Uint8Array
  /** Path of the name that is to be linked; empty for what only waits for its metadata. */
  readonly b: Uint8Array
  readonly type: LinkableEntry['type'] | 'directory'
  /** Number of the file and of the first name of its group; NO_SLOT for what has none. */
  readonly slot: number
  readonly firstSlot: number
  readonly major: number
  readonly minor: number
  readonly metadata: TaskMetadata
}

export function writeWaiting(
  out: RecordWriter,
  a: Uint8Array,
  b: Uint8Array,
  entry: Entry,
  xattrs: readonly Xattr[],
  { slot = NO_SLOT, firstSlot = NO_SLOT }: { readonly slot?: number; readonly firstSlot?: number } = {},
): void {
  out.u8(TYPES.indexOf(entry.type))
  out.u32(slot)
  out.u32(firstSlot)
  for (const bytes of [a, b]) {
    out.u16(bytes.length)
    out.bytes(bytes)
  }
  out.u32(isDevice(entry) ? entry.major : 0)
  out.u32(isDevice(entry) ? entry.minor : 0)
  out.u16(entry.mode)
  out.whole(entry.mtimeSec)
  out.u32(entry.mtimeNsec)
  out.u32(entry.uid)
  out.u32(entry.gid)
  writeXattrRecords(out, xattrs)
}

export function readWaiting(from: RecordReader): WaitingEntry {
  const type = TYPES[from.u8()]!
  const slot = from.u32()
  const firstSlot = from.u32()
  const a = from.bytes(from.u16())
  const b = from.bytes(from.u16())
  const major = from.u32()
  const minor = from.u32()
  const metadata = {
    mode: from.u16(),
    mtimeSec: from.whole(),
    mtimeNsec: from.u32(),
    uid: from.u32(),
    gid: from.u32(),
    xattrs: readXattrRecords(from),
  }
  return { a, b, type, slot, firstSlot, major, minor, metadata }
}

export function* readAllWaiting(fd: number, endByte: number): Generator<WaitingEntry, void, undefined> {
  const reader = createRecordReader(fd, 0, endByte)
  while (!reader.isAtEnd) yield readWaiting(reader)
}
