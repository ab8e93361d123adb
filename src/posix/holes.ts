/** Holes of sparse files, as the file system tells them. */
import { constants } from 'node:os'
import { lastErrno, libc, throwErrno } from './libc.ts'

const SEEK_DATA = 3
const SEEK_HOLE = 4
const { EINVAL, ENXIO, EOPNOTSUPP } = constants.errno

/**
 * Calls back for each hole below `sizeBytes`, in ascending order; for none where the file system does not know. Moves
 * the descriptor's position.
 */
export function eachHole(
  fd: number,
  sizeBytes: number,
  onHole: (startByte: number, endByte: number) => void,
): void {
  for (let at = 0; at < sizeBytes; ) {
    const hole = seek(fd, at, SEEK_HOLE)
    if (hole === undefined || hole >= sizeBytes) return
    const data = Math.min(seek(fd, hole, SEEK_DATA) ?? sizeBytes, sizeBytes)
    if (data > hole) onHole(hole, data)
    // A file that is written meanwhile must not hold the loop.
    at = Math.max(data, hole + 1)
  }
}

/** Undefined past the last data, past the end, and where the file system knows no holes. */
function seek(fd: number, offset: number, whence: number): number | undefined {
  const at = Number(libc('lseek')(fd, offset, whence))
  if (at >= 0) return at
  const errno = lastErrno()
  if (errno === ENXIO || errno === EINVAL || errno === EOPNOTSUPP) return undefined
  return throwErrno('lseek')
}
