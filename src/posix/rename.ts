/** Renames that Node lacks: atomic exchange, and one that never replaces. */
import { AT_FDCWD, cPath, libc, throwErrno } from './libc.ts'

const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2

/** `to` must not exist (EEXIST). EINVAL where the file system cannot promise it. */
export function renameNoReplace(from: Uint8Array, to: Uint8Array): void {
  rename(from, to, RENAME_NOREPLACE)
}

/** Both names exist before and after; no instant shows anything else. EINVAL where the file system lacks it. */
export function exchange(a: Uint8Array, b: Uint8Array): void {
  rename(a, b, RENAME_EXCHANGE)
}

function rename(from: Uint8Array, to: Uint8Array, flags: number): void {
  if (libc('renameat2')(AT_FDCWD, cPath(from), AT_FDCWD, cPath(to), flags) !== 0)
    throwErrno('renameat2', from)
}
