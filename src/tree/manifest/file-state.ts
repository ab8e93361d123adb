/**
 * What a file of a check-out looked like when it was last known to be what its snapshot says: the fields by which a
 * later check-out decides whether it still is, without reading it. 48 bytes, little-endian:
 *
 * | bytes | |
 * |---|---|
 * | 0-7 | inode; 0 when nothing is known of the file |
 * | 8-15 | size |
 * | 16-23 | mtime, nanoseconds since 1970, signed |
 * | 24-31 | ctime; 0 when it moved by our own doing and only the content can tell |
 * | 32-35 | mode, 12 bits |
 * | 36-43 | uid, gid |
 * | 44-47 | how many names the file has in its tree; bit 31: its owner could not be set; bit 30, while a check-out is made and in no manifest: it was taken over from the tree before |
 *
 * A write, chmod, chown, link or change of an attribute moves the ctime, and no call sets it back. Making or removing
 * a second name moves it too: whoever does that to a file it has just found unchanged notes the new one.
 *
 * The kernel's clock has a grain (4 ms; since Linux 6.13 finer when somebody looks): what happens in the tick of the
 * noted ctime does not move it. Such a change is noticed all the same by its mtime, mode or owner. For this a file whose
 * mtime lies within the grain of its ctime is never vouched for by times alone.
 */
import type fs from 'node:fs'
import type { FileIdentity } from '../../store/block-backings.ts'

export const FILE_STATE_BYTES = 48

const OWNER_MISSING = 0x8000_0000
const TAKEN = 0x4000_0000
/** Coarser than any kernel's tick. */
const GRAIN_NS = 20_000_000n

export interface StateFacts {
  /** Names within the tree: 1, or the size of its hard-link group. */
  readonly names: number
  readonly isOwnerMissing: boolean
  /** It was in the tree before as well: another name of the same inode. */
  readonly isTaken?: boolean
}

export function writeFileState(out: Buffer, at: number, stat: fs.BigIntStats, facts: StateFacts): void {
  out.writeBigUInt64LE(stat.ino, at)
  out.writeBigUInt64LE(stat.size, at + 8)
  out.writeBigInt64LE(stat.mtimeNs, at + 16)
  const isRacy = stat.ctimeNs - stat.mtimeNs < GRAIN_NS && stat.mtimeNs - stat.ctimeNs < GRAIN_NS
  out.writeBigInt64LE(isRacy ? 0n : stat.ctimeNs, at + 24)
  out.writeUInt32LE(Number(stat.mode & 0o7777n), at + 32)
  out.writeUInt32LE(Number(stat.uid), at + 36)
  out.writeUInt32LE(Number(stat.gid), at + 40)
  const flags = (facts.isOwnerMissing ? OWNER_MISSING : 0) | (facts.isTaken === true ? TAKEN : 0)
  out.writeUInt32LE((facts.names | flags) >>> 0, at + 44)
}

export function stateFacts(state: Buffer): StateFacts {
  const value = state.readUInt32LE(44)
  return {
    names: value & ~(OWNER_MISSING | TAKEN),
    isOwnerMissing: (value & OWNER_MISSING) !== 0,
    isTaken: (value & TAKEN) !== 0,
  }
}

/** For a manifest: the next check-out takes over what it takes over. */
export function forgetTaken(state: Buffer): void {
  state.writeUInt32LE((state.readUInt32LE(44) & ~TAKEN) >>> 0, 44)
}

/** False for a state of zeros: the file was written and nothing is vouched for. */
export function isKnown(state: Buffer): boolean {
  return state.readBigUInt64LE(0) !== 0n
}

/** What tells the file from its changed self; undefined where its times do not. @param dev the file system's */
export function identityOf(state: Buffer, dev: bigint): FileIdentity | undefined {
  const ctimeNs = state.readBigInt64LE(24)
  if (!isKnown(state) || ctimeNs === 0n) return undefined
  const sizeBytes = Number(state.readBigUInt64LE(8))
  return { dev, ino: state.readBigUInt64LE(0), sizeBytes, mtimeNs: state.readBigInt64LE(16), ctimeNs }
}

/** Mode and owner: what decides, in one directory, who may read the file. */
export function accessOf(state: Buffer): string {
  return state.toString('latin1', 32, 44)
}

/** Only the content can tell from now on. */
export function forgetCtime(state: Buffer): void {
  state.writeBigInt64LE(0n, 24)
}

/** `unsure`: everything but the ctime is as noted, so it may be the same content and may not. */
export function compareState(state: Buffer, stat: fs.BigIntStats): 'same' | 'unsure' | 'changed' {
  if (!stat.isFile() || !isKnown(state) || !isSameButCtime(state, stat)) return 'changed'
  if (state.readBigInt64LE(24) === stat.ctimeNs) return 'same'
  // A name that is not of the tree: whoever has it may write through it.
  return Number(stat.nlink) === stateFacts(state).names ? 'unsure' : 'changed'
}

export function isSameButCtime(state: Buffer, stat: fs.BigIntStats): boolean {
  return (
    state.readBigUInt64LE(0) === stat.ino &&
    state.readBigUInt64LE(8) === stat.size &&
    state.readBigInt64LE(16) === stat.mtimeNs &&
    state.readUInt32LE(32) === Number(stat.mode & 0o7777n) &&
    state.readUInt32LE(36) === Number(stat.uid) &&
    state.readUInt32LE(40) === Number(stat.gid)
  )
}
