/** Clones of files: two inodes that share what lies on the disk until one of them is written to (reflinks). */
import { libc, throwErrno } from './libc.ts'

/** _IOW(0x94, 9, int), as x86, arm64 and s390x have it; elsewhere it is refused like a file system that cannot. */
const FICLONE = 0x40049409

/**
 * Gives the empty file `to` the content of `from`, with its holes.
 *
 * @throws ENOTSUP, EINVAL, ENOTTY or EXDEV where the file system cannot
 */
export function cloneContent(from: number, to: number): void {
  if (libc('ioctl')(to, FICLONE, from) !== 0) throwErrno('ioctl')
}
