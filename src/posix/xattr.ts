/** Names of extended attributes. Reading and writing their values comes with their capture. */
import { cPath, libc, throwErrno } from './libc.ts'

/** The kernel's XATTR_LIST_MAX. */
const list = new Uint8Array(64 * 1024)

/** The names on `path` itself (a symbolic link is not followed); empty where the file system has none. */
export function listXattrs(path: Uint8Array): string[] {
  const length = libc('llistxattr')(cPath(path), list, list.length)
  if (length > 0) return Buffer.from(list.subarray(0, length)).toString('latin1').split('\0').slice(0, -1)
  if (length === 0) return []
  try {
    throwErrno('llistxattr', path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTSUP') return []
    throw error
  }
}
