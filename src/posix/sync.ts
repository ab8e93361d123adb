/** Syncing a whole file system. */
import { libc, throwErrno } from './libc.ts'

/**
 * Writes everything dirty of the file system that holds `fd`: data, sizes, names. One call for a tree of any number
 * of files, where an fsync each would wait for the journal once a file. Blocks the thread: call it from a worker.
 */
export function syncFileSystem(fd: number): void {
  if (libc('syncfs')(fd) !== 0) throwErrno('syncfs')
}

/** The same without blocking this thread. `fd` must stay open until it resolves. */
export function syncFileSystemLater(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    libc('syncfs').async(fd, (error, result) => {
      if (error === null && result === 0) resolve()
      // The number of the error stayed in the thread that made the call.
      else reject(Object.assign(new Error('EIO: syncfs failed'), { code: 'EIO', syscall: 'syncfs' }))
    })
  })
}

const SYNC_FILE_RANGE_WRITE = 2

/**
 * Starts to write a range of a file to the disk and does not wait: a later fdatasync finds little left to do. Promises
 * nothing; where the call is missing or refused, nothing happens.
 */
export function startWriteback(fd: number, offset: number, sizeBytes: number): void {
  try {
    libc('sync_file_range')(fd, offset, sizeBytes, SYNC_FILE_RANGE_WRITE)
  } catch {
    // A hint.
  }
}
