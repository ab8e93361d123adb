/**
 * What tells that an entry is as it was: inode, size, mtime, ctime, type and mode, owner, and whether it lies on the
 * root's file system. As bytes, since it is only compared. Any change of content, metadata, attributes or links moves
 * ctime, which no program can set. Little-endian, as every machine that this runs on.
 *
 * | bytes | field |
 * |---|---|
 * | 8 | inode |
 * | 8 | size; 0 for a directory, whose entries speak for it |
 * | 8 | mtime, nanoseconds since 1970, two's complement |
 * | 8 | ctime, likewise |
 * | 4 | type and mode, as stat has them |
 * | 4 | uid |
 * | 4 | gid |
 * | 4 | 1 on another file system than the root |
 *
 * Device numbers are not in it: they change when a machine starts.
 */
import fs from 'node:fs'

export const STAT_KEY_BYTES = 48

const CTIME_AT = 24
const FOREIGN_AT = 44
const DIRECTORY = 0o040000
const TYPE = 0o170000

/** The key of one entry after another, in memory of its own. */
export interface StatKey {
  /** Overwritten by the next `set`. */
  readonly bytes: Buffer
  /** Of the entry set last. */
  readonly isDirectory: boolean
  set(stat: fs.BigIntStats, rootDev: bigint): void
}

export function createStatKey(): StatKey {
  // Typed arrays take a bigint in a tenth of the time that Buffer's methods need (measured), and wrap what is longer.
  const words = new BigUint64Array(STAT_KEY_BYTES / 8)
  const halves = new Uint32Array(words.buffer)
  return {
    bytes: Buffer.from(words.buffer),
    get isDirectory() {
      return (halves[8]! & TYPE) === DIRECTORY
    },
    set(stat, rootDev) {
      const mode = Number(stat.mode)
      words[0] = stat.ino
      words[1] = (mode & TYPE) === DIRECTORY ? 0n : stat.size
      words[2] = stat.mtimeNs
      words[3] = stat.ctimeNs
      halves[8] = mode
      halves[9] = Number(stat.uid)
      halves[10] = Number(stat.gid)
      halves[11] = stat.dev === rootDev ? 0 : 1
    },
  }
}

/** ctime of a key, in nanoseconds. */
export function ctimeOfStatKey(key: Buffer): bigint {
  return key.readBigInt64LE(CTIME_AT)
}

export function isForeign(key: Uint8Array): boolean {
  return key[FOREIGN_AT] === 1
}

const NSEC_PER_MSEC = 1_000_000n
/** Twice the coarsest grain of a file system's times (FAT's 2 s). */
const LOCAL_GRAIN_MS = 4_000
/** The clock that stamps a remote file is another machine's. */
const REMOTE_GRAIN_MS = 600_000

/** statfs's f_type of file systems whose times are this machine's own (linux/magic.h). */
const LOCAL_TYPES = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x01021994, // tmpfs
  0x2fc12fc1, // zfs
  0xf2f52010, // f2fs
  0xca451a4e, // bcachefs
  0x4d44, // fat
  0x2011bab0, // exfat
])

/** Before which ctime an entry is old enough that a change after this moment moves its ctime. */
export interface TrustLimits {
  readonly rootNs: bigint
  /** For entries on other file systems than the root, of which nothing is known. */
  readonly foreignNs: bigint
}

/**
 * To be asked before the scan starts. A file that is changed twice within the grain of its file system's clock, once
 * before it was read and once after, keeps its ctime: what is younger than the grain is therefore not trusted.
 */
export function trustLimits(root: Buffer, nowMs: number): TrustLimits {
  let isLocal = false
  try {
    isLocal = LOCAL_TYPES.has(fs.statfsSync(root).type >>> 0)
  } catch {
    // The root itself may be a symbolic link to nowhere: then the longer grain it is.
  }
  const before = (ms: number): bigint => BigInt(Math.floor(ms)) * NSEC_PER_MSEC
  const foreignNs = before(nowMs - REMOTE_GRAIN_MS)
  return { rootNs: isLocal ? before(nowMs - LOCAL_GRAIN_MS) : foreignNs, foreignNs }
}

export function isTrusted(key: Buffer, { rootNs, foreignNs }: TrustLimits): boolean {
  return ctimeOfStatKey(key) < (isForeign(key) ? foreignNs : rootNs)
}
