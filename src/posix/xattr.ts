/**
 * Extended attributes: POSIX ACLs, capabilities, labels and users' own. A target is an open file, or a path of which a
 * symbolic link at the end is not followed. Buffers are kept, one set a thread: calls are synchronous.
 */
import { constants } from 'node:os'
import { cPath, errnoError, lastErrno, libc, throwErrno } from './libc.ts'

export type XattrTarget = number | Uint8Array

export interface Attribute {
  readonly name: Uint8Array
  readonly value: Uint8Array
}

const { ENODATA, ENOTSUP } = constants.errno

/** The kernel's XATTR_LIST_MAX and XATTR_SIZE_MAX. */
const list = Buffer.alloc(64 * 1024)
const value = new Uint8Array(64 * 1024)
const NONE: readonly Uint8Array[] = []

/** The names on the target, in no order; empty where the file system has none. */
export function listXattrs(target: XattrTarget): readonly Uint8Array[] {
  const length =
    typeof target === 'number'
      ? libc('flistxattr')(target, list, list.length)
      : libc('llistxattr')(cPath(target), list, list.length)
  if (length === 0) return NONE
  if (length < 0) {
    if (lastErrno() === ENOTSUP) return NONE
    return typeof target === 'number' ? throwErrno('flistxattr') : throwErrno('llistxattr', target)
  }
  const names: Uint8Array[] = []
  for (let start = 0; start < length; ) {
    const end = list.indexOf(0, start)
    names.push(new Uint8Array(list.subarray(start, end)))
    start = end + 1
  }
  return names
}

/** The value of one attribute; undefined when it is not there. */
export function getXattr(target: XattrTarget, name: Uint8Array): Uint8Array | undefined {
  const length =
    typeof target === 'number'
      ? libc('fgetxattr')(target, cPath(name), value, value.length)
      : libc('lgetxattr')(cPath(target), cPath(name), value, value.length)
  if (length >= 0) return value.slice(0, length)
  const errno = lastErrno()
  if (errno === ENODATA) return undefined
  throw errnoError(errno, 'getxattr', typeof target === 'number' ? undefined : target)
}

/** Every attribute in ascending order of names; `onUnread` hears of those that cannot be read. */
export function readXattrs(
  target: XattrTarget,
  onUnread: (name: Uint8Array, error: unknown) => void,
): readonly Attribute[] {
  const names = listXattrs(target)
  if (names.length === 0) return []
  const found: Attribute[] = []
  for (const name of [...names].sort(Buffer.compare)) {
    try {
      const read = getXattr(target, name)
      if (read !== undefined) found.push({ name, value: read })
    } catch (error) {
      onUnread(name, error)
    }
  }
  return found
}

/** Creates or replaces. */
export function setXattr(target: XattrTarget, name: Uint8Array, bytes: Uint8Array): void {
  const result =
    typeof target === 'number'
      ? libc('fsetxattr')(target, cPath(name), bytes, bytes.length, 0)
      : libc('lsetxattr')(cPath(target), cPath(name), bytes, bytes.length, 0)
  if (result === 0) return
  if (typeof target === 'number') throwErrno('fsetxattr')
  throwErrno('lsetxattr', target)
}

/** What is not there is no error. */
export function removeXattr(target: XattrTarget, name: Uint8Array): void {
  const result =
    typeof target === 'number'
      ? libc('fremovexattr')(target, cPath(name))
      : libc('lremovexattr')(cPath(target), cPath(name))
  if (result === 0 || lastErrno() === ENODATA) return
  if (typeof target === 'number') throwErrno('fremovexattr')
  throwErrno('lremovexattr', target)
}
