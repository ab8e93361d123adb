/**
 * Sets owner, attributes, mode and time of what a check-out has written, in this order: chown clears setuid and
 * capabilities, setting an ACL clears setgid and the mode repeats the ACL's mask, and only the last call may touch the
 * time. What could not be set is returned as reasons.
 *
 * setuid and setgid are set only where the owner is the recorded one: else they would lend the rights of whoever runs
 * the check-out. Where an ACL cannot be set its mask must not become rights of the group.
 */
import fs from 'node:fs'
import { equalBytes, printableName } from '../../base/bytes.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import { setMtime, setMtimeOfFd } from '../../posix/times.ts'
import type { XattrTarget } from '../../posix/xattr.ts'
import { listXattrs, removeXattr, setXattr } from '../../posix/xattr.ts'
import { reasonOf } from '../reason.ts'
import { mtimeNsOf } from '../spool/inode.ts'
import type { OwnerMode, TaskMetadata } from './checkout-threads.ts'

const OWNER_WRITE = 0o200
const SETUID = 0o4000
const SETGID = 0o2000
/** Outside of 32 bits file systems differ, and the kernel clamps without a word. */
const SAFE_MIN_SEC = -(2 ** 31)
const SAFE_MAX_SEC = 2 ** 31 - 1

const ACL_ACCESS = Buffer.from('system.posix_acl_access')
/** Set by a security module on whatever is made, and only its to change. */
const SYSTEM_LABELS = [Buffer.from('security.selinux'), Buffer.from('security.SMACK64')]

export type Target =
  | { readonly fd: number }
  | { readonly path: Buffer; readonly type: 'directory' | 'file' | 'symlink' | 'special' }

export interface ApplyOptions {
  readonly ownerMode: OwnerMode
  /** The target may have attributes that the tree does not know. */
  readonly inherits: boolean
}

export function applyMetadata(
  target: Target,
  metadata: TaskMetadata,
  { ownerMode, inherits }: ApplyOptions,
): string[] {
  const { mode, mtimeSec, mtimeNsec, xattrs } = metadata
  const reasons: string[] = []
  const isOwner = applyOwner(target, metadata, ownerMode, reasons)
  const place = 'fd' in target ? target.fd : target.path
  if (inherits) removeOthers(place, xattrs, reasons)
  const maskBits = xattrs.length === 0 ? 0 : setAll(place, xattrs, reasons)

  const isSymlink = !('fd' in target) && target.type === 'symlink'
  if (!isSymlink) {
    const isDirectory = !('fd' in target) && target.type === 'directory'
    const withheld = isOwner ? 0 : mode & (isDirectory ? SETUID : SETUID | SETGID)
    if (withheld !== 0) reasons.push('setuid or setgid is not set, because its owner is not')
    const set = mode & ~withheld & ~maskBits
    if ('fd' in target) fs.fchmodSync(target.fd, set)
    else fs.chmodSync(target.path, set)
  }

  if ('fd' in target) setMtimeOfFd(target.fd, mtimeSec, mtimeNsec)
  else setMtime(target.path, mtimeSec, mtimeNsec)
  if (mtimeSec < SAFE_MIN_SEC || mtimeSec > SAFE_MAX_SEC) {
    const stat =
      'fd' in target ? fs.fstatSync(target.fd, { bigint: true }) : fs.lstatSync(target.path, { bigint: true })
    if (stat.mtimeNs !== mtimeNsOf(metadata)) reasons.push('its time is out of the range of the file system')
  }
  return reasons
}

/** Whom new files belong to. */
export interface Maker {
  readonly uid: number | undefined
  readonly gid: number | undefined
}

/**
 * Whether a file that is created with its mode has everything but its time right, as far as the system does what is
 * usual: two calls less for each of many small files. `isAsMade` says whether it did.
 */
export function canBeMadeWhole(
  { mode, uid, gid, mtimeSec, xattrs }: TaskMetadata,
  { inherits, maker }: { readonly inherits: boolean; readonly maker: Maker },
): boolean {
  // A server may refuse to write to a file that was created without the right to.
  const isPlain = xattrs.length === 0 && (mode & ~0o777) === 0 && (mode & OWNER_WRITE) !== 0
  const isOurs = uid === maker.uid && gid === maker.gid
  return isPlain && !inherits && isOurs && mtimeSec >= SAFE_MIN_SEC && mtimeSec <= SAFE_MAX_SEC
}

/** False where a umask, a mount option, a mapping of owners or an ACL of the place had it otherwise. */
export function isAsMade(stat: fs.BigIntStats, { mode, uid, gid }: TaskMetadata): boolean {
  return Number(stat.mode & 0o7777n) === mode && Number(stat.uid) === uid && Number(stat.gid) === gid
}

/** Returns whether the owner is the recorded one. A user may give a file to a group of its own. */
function applyOwner(
  target: Target,
  { uid, gid }: TaskMetadata,
  ownerMode: OwnerMode,
  reasons: string[],
): boolean {
  const isOurs = ownerMode !== 'set' && process.geteuid?.() === uid
  if (ownerMode !== 'set') {
    if (isOurs && process.getegid?.() === gid) return true
    if (ownerMode === 'leave') return false
  }
  try {
    if (ownerMode === 'set' || isOurs) {
      if ('fd' in target) fs.fchownSync(target.fd, uid, gid)
      else fs.lchownSync(target.path, uid, gid)
      return true
    }
    reasons.push(ownerReason(uid, gid))
  } catch (error) {
    reasons.push(`its owner ${uid}:${gid} is not set: ${(error as Error).message}`)
  }
  return false
}

export function isSystemLabel(name: Uint8Array): boolean {
  return SYSTEM_LABELS.some((label) => equalBytes(label, name))
}

function removeOthers(place: XattrTarget, xattrs: readonly Xattr[], reasons: string[]): void {
  for (const name of listXattrs(place)) {
    if (xattrs.some((wanted) => equalBytes(wanted.name, name))) continue
    if (isSystemLabel(name)) continue
    try {
      removeXattr(place, name)
    } catch (error) {
      reasons.push(`an extended attribute that it should not have is left: ${named(name)}: ${codeOf(error)}`)
    }
  }
}

/** Returns the bits of the mode that must stay off. */
function setAll(place: XattrTarget, xattrs: readonly Xattr[], reasons: string[]): number {
  let maskBits = 0
  for (const { name, value } of xattrs) {
    try {
      setXattr(place, name, value)
    } catch (error) {
      reasons.push(`its extended attribute ${named(name)} is not set: ${codeOf(error)}`)
      if (equalBytes(name, ACL_ACCESS)) maskBits = 0o070 & ~groupBits(value)
    }
  }
  return maskBits
}

function named(name: Uint8Array): string {
  return printableName(name).slice(0, 80)
}

/** Too little room means here that a file system has less of it for attributes than another. */
function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (typeof code !== 'string') throw error
  return code === 'ENOSPC' || code === 'EDQUOT' ? code : reasonOf(error)
}

const ACL_HEADER_BYTES = 4
const ACL_ENTRY_BYTES = 8
const ACL_GROUP_OBJ = 0x04

/** What an ACL gives the owning group, in the mode's place for it: the kernel's layout, little-endian. */
function groupBits(acl: Uint8Array): number {
  const view = new DataView(acl.buffer, acl.byteOffset, acl.length)
  for (let at = ACL_HEADER_BYTES; at + ACL_ENTRY_BYTES <= acl.length; at += ACL_ENTRY_BYTES) {
    if (view.getUint16(at, true) === ACL_GROUP_OBJ) return (view.getUint16(at + 2, true) & 7) << 3
  }
  return 0
}

export function ownerReason(uid: number, gid: number): string {
  return `its owner ${uid}:${gid} is not set: that takes root`
}
