/**
 * Sets owner, mode and time of what a check-out has written, in this order: chown clears setuid, and only the last
 * call may touch the time. What could not be set is returned as reasons.
 *
 * setuid and setgid are set only where the owner is the recorded one: else they would lend the rights of whoever runs
 * the check-out.
 */
import fs from 'node:fs'
import { setMtime, setMtimeOfFd } from '../posix/times.ts'
import type { OwnerMode, TaskMetadata } from './checkout-threads.ts'
import { mtimeNsOf } from './inode.ts'

const SETUID = 0o4000
const SETGID = 0o2000
/** Outside of 32 bits file systems differ, and the kernel clamps without a word. */
const SAFE_MIN_SEC = -(2 ** 31)
const SAFE_MAX_SEC = 2 ** 31 - 1

export type Target =
  | { readonly fd: number }
  | { readonly path: Buffer; readonly type: 'directory' | 'file' | 'symlink' }

export function applyMetadata(target: Target, metadata: TaskMetadata, ownerMode: OwnerMode): string[] {
  const { mode, mtimeSec, mtimeNsec, uid, gid } = metadata
  const reasons: string[] = []
  let isOwner = process.geteuid?.() === uid && process.getegid?.() === gid
  if (ownerMode === 'set') {
    try {
      if ('fd' in target) fs.fchownSync(target.fd, uid, gid)
      else fs.lchownSync(target.path, uid, gid)
      isOwner = true
    } catch (error) {
      isOwner = false
      reasons.push(`its owner ${uid}:${gid} is not set: ${(error as Error).message}`)
    }
  } else if (!isOwner && ownerMode === 'report') {
    reasons.push(ownerReason(uid, gid))
  }

  const isSymlink = !('fd' in target) && target.type === 'symlink'
  if (!isSymlink) {
    const isDirectory = !('fd' in target) && target.type === 'directory'
    const withheld = isOwner ? 0 : mode & (isDirectory ? SETUID : SETUID | SETGID)
    if (withheld !== 0) reasons.push('setuid or setgid is not set, because its owner is not')
    if ('fd' in target) fs.fchmodSync(target.fd, mode & ~withheld)
    else fs.chmodSync(target.path, mode & ~withheld)
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

export function ownerReason(uid: number, gid: number): string {
  return `its owner ${uid}:${gid} is not set: that takes root`
}
