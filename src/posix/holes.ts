/** Holes of sparse files. */
import { libc, throwErrno } from './libc.ts'

const SEEK_HOLE = 4

/** Where the first hole starts; the file's size when it has none. Moves the descriptor's position. */
export function firstHole(fd: number): number {
  const at = Number(libc('lseek')(fd, 0, SEEK_HOLE))
  if (at < 0) throwErrno('lseek')
  return at
}
