/**
 * What a scan found, in walk order, as records of a temporary file: a directory is entered, its entries follow in the
 * byte order of their names, it is left. Memory stays the same whatever the size of the tree.
 */
import type { SpecialEntry } from '../../dag/entry.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import type { RecordReader, RecordWriter } from './record-bytes.ts'
import { STAT_KEY_BYTES } from './stat-key.ts'
import { readXattrRecords, writeXattrRecords } from './xattr-records.ts'

/** What the inode says; names of owners are added when entries are built. */
export interface Inode {
  readonly mode: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly uid: number
  readonly gid: number
}

/** Number of the inode among those with several links, in the order first met; NO_LINK for all others. */
export type LinkGroup = number
export const NO_LINK: LinkGroup = 0xffff_ffff

export type SpoolRecord =
  | {
      readonly kind: 'file'
      readonly name: Uint8Array
      readonly inode: Inode
      readonly xattrs: readonly Xattr[]
      readonly sizeBytes: number
      readonly ino: bigint
      readonly ctimeNs: bigint
      readonly group: LinkGroup
      /** Its content is read here: it is the first of its group, or in none. */
      readonly isRead: boolean
      /** A stat cache has the result of reading it: that lies among the batch's known results. */
      readonly isKnown: boolean
      readonly stat: Uint8Array
    }
  | {
      readonly kind: 'symlink'
      readonly name: Uint8Array
      readonly inode: Inode
      readonly xattrs: readonly Xattr[]
      readonly target: Uint8Array
      readonly group: LinkGroup
      readonly stat: Uint8Array
    }
  | {
      readonly kind: 'enter'
      readonly name: Uint8Array
      readonly inode: Inode
      readonly xattrs: readonly Xattr[]
      /** What tells a stat cache that the entry is as it was (stat-key.ts). */
      readonly stat: Uint8Array
    }
  | {
      readonly kind: 'special'
      readonly name: Uint8Array
      readonly inode: Inode
      readonly xattrs: readonly Xattr[]
      readonly type: SpecialEntry['type']
      /** 0 for what is no device. */
      readonly major: number
      readonly minor: number
      readonly group: LinkGroup
      readonly stat: Uint8Array
    }
  | { readonly kind: 'leave' }
  /** Something about the entry `name` of the current directory is not in the snapshot. */
  | { readonly kind: 'uncaptured'; readonly name: Uint8Array; readonly reason: string }

const KINDS = ['file', 'symlink', 'special', 'enter', 'leave', 'uncaptured'] as const
const SPECIALS = ['fifo', 'socket', 'block-device', 'character-device'] as const

export function writeSpoolRecord(out: RecordWriter, record: SpoolRecord): void {
  out.u8(KINDS.indexOf(record.kind))
  if (record.kind === 'leave') return
  out.u16(record.name.length)
  out.bytes(record.name)
  if (record.kind === 'uncaptured') {
    const reason = Buffer.from(record.reason)
    out.u16(reason.length)
    out.bytes(reason)
    return
  }
  const { mode, mtimeSec, mtimeNsec, uid, gid } = record.inode
  out.u16(mode)
  out.whole(mtimeSec)
  out.u32(mtimeNsec)
  out.u32(uid)
  out.u32(gid)
  out.bytes(record.stat)
  writeXattrRecords(out, record.xattrs)
  if (record.kind === 'file') {
    out.whole(record.sizeBytes)
    out.u64(record.ino)
    out.u64(BigInt.asUintN(64, record.ctimeNs))
    out.u32(record.group)
    out.u8((record.isRead ? 1 : 0) | (record.isKnown ? 2 : 0))
  } else if (record.kind === 'symlink') {
    out.u16(record.target.length)
    out.bytes(record.target)
    out.u32(record.group)
  } else if (record.kind === 'special') {
    out.u8(SPECIALS.indexOf(record.type))
    out.u32(record.major)
    out.u32(record.minor)
    out.u32(record.group)
  }
}

export function readSpoolRecord(from: RecordReader): SpoolRecord {
  const kind = KINDS[from.u8()]!
  if (kind === 'leave') return { kind }
  const name = from.bytes(from.u16())
  if (kind === 'uncaptured') return { kind, name, reason: from.view(from.u16()).toString() }
  const inode: Inode = {
    mode: from.u16(),
    mtimeSec: from.whole(),
    mtimeNsec: from.u32(),
    uid: from.u32(),
    gid: from.u32(),
  }
  const stat = from.bytes(STAT_KEY_BYTES)
  const xattrs = readXattrRecords(from)
  if (kind === 'enter') return { kind, name, inode, xattrs, stat }
  if (kind === 'symlink') {
    return { kind, name, inode, xattrs, stat, target: from.bytes(from.u16()), group: from.u32() }
  }
  if (kind === 'special') {
    const type = SPECIALS[from.u8()]!
    return { kind, name, inode, xattrs, stat, type, major: from.u32(), minor: from.u32(), group: from.u32() }
  }
  const sizeBytes = from.whole()
  const ino = from.u64()
  const ctimeNs = BigInt.asIntN(64, from.u64())
  const group = from.u32()
  const flags = from.u8()
  const isRead = (flags & 1) !== 0
  const isKnown = (flags & 2) !== 0
  return { kind, name, inode, xattrs, stat, sizeBytes, ino, ctimeNs, group, isRead, isKnown }
}

/** A run of whole records: the unit that a reading thread takes. */
export interface SpoolBatch {
  /** Path below the root of the directory that is open where the batch starts, without leading slash. */
  readonly dir: Uint8Array
  readonly startByte: number
  readonly endByte: number
  readonly files: number
  readonly bytes: number
  /** Records whose content is read, of any size above 0. */
  readonly reads: number
  /** Where the results that a stat cache has of some of them lie, in order (read-results.ts). */
  readonly known: { readonly startByte: number; readonly endByte: number }
}
