/** Exact modification times. fs.utimes takes doubles: it misses the nanosecond, and reads a negative number as "now". */
import { AT_FDCWD, cPath, libc, throwErrno } from './libc.ts'

const UTIME_OMIT = 0x3fff_fffen
const AT_SYMLINK_NOFOLLOW = 0x100

/** struct timespec[2]: access time left alone, modification time. One a thread: calls are synchronous. */
const times = new BigInt64Array([0n, UTIME_OMIT, 0n, 0n])
const timesBytes = new Uint8Array(times.buffer)

function timesOf(mtimeSec: number, mtimeNsec: number): Uint8Array {
  times[2] = BigInt(mtimeSec)
  times[3] = BigInt(mtimeNsec)
  return timesBytes
}

/** Sets the time of `path` itself, also when it is a symbolic link. */
export function setMtime(path: Uint8Array, mtimeSec: number, mtimeNsec: number): void {
  const result = libc('utimensat')(AT_FDCWD, cPath(path), timesOf(mtimeSec, mtimeNsec), AT_SYMLINK_NOFOLLOW)
  if (result !== 0) throwErrno('utimensat', path)
}

export function setMtimeOfFd(fd: number, mtimeSec: number, mtimeNsec: number): void {
  if (libc('futimens')(fd, timesOf(mtimeSec, mtimeNsec)) !== 0) throwErrno('futimens')
}
