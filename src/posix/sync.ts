/** Syncing a whole file system. */
import { libc, throwErrno } from './libc.ts'

/**
 * Writes everything dirty of the file system that holds `fd`: data, sizes, names. One call for a tree of any number
 * of files, where an fsync each would wait for the journal once a file. Blocks the thread: call it from a worker.
 */
export function syncFileSystem(fd: number): void {
  if (libc('syncfs')(fd) !== 0) throwErrno('syncfs')
}
