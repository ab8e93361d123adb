/** Advisory locks that the kernel drops when their process dies. */
import { libc, throwErrno } from './libc.ts'

const LOCK_EX = 2
const LOCK_NB = 4

/** Takes the lock of an open file or directory; false when another descriptor holds it. Held until `fd` is closed. */
export function tryLock(fd: number): boolean {
  if (libc('flock')(fd, LOCK_EX | LOCK_NB) === 0) return true
  try {
    throwErrno('flock')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false
    throw error
  }
}
