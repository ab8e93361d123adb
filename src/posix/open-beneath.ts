/**
 * Opens a regular file below a folder that others write in, and never anything else: no symbolic link is followed, not
 * as the folder, not on the way, not at the end, so that nobody can lead us out of the folder; a fifo or a device that
 * was put there does not hold the thread. openat2 does it in one call (Linux 5.6); where it is missing or forbidden
 * the path is walked, each folder opened below the one before through /proc.
 */
import fs from 'node:fs'
import { printableName } from '../base/bytes.ts'
import { cPath, libc, throwErrno } from './libc.ts'

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = fs.constants
const O_CLOEXEC = 0o2000000
const OPEN_FILE = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
/** The same number on every architecture. */
const SYS_OPENAT2 = 437
const RESOLVE_NO_MAGICLINKS = 2n
const RESOLVE_NO_SYMLINKS = 4n
const RESOLVE_BENEATH = 8n
const HOW = BigUint64Array.of(
  BigInt(OPEN_FILE),
  0n,
  RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
)
const HOW_BYTES = new Uint8Array(HOW.buffer)
const SLASH = 0x2f

let isOpenat2Missing = false

/**
 * @param below path below `root` without a leading slash; empty when the root is the file itself
 * @returns a descriptor, for reading
 * @throws as fs does; ELOOP for a symbolic link, EXDEV for a way out, EINVAL for what is no regular file
 */
export function openBeneath(
  root: Uint8Array,
  below: Uint8Array,
  { walk = false }: { readonly walk?: boolean } = {},
): number {
  const fd = below.length === 0 ? fs.openSync(asBuffer(root), OPEN_FILE) : openBelow(root, below, walk)
  try {
    if (fs.fstatSync(fd).isFile()) return fd
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
  fs.closeSync(fd)
  throw Object.assign(new Error(`EINVAL: not a regular file '${printableName(below)}'`), { code: 'EINVAL' })
}

function openBelow(root: Uint8Array, below: Uint8Array, isWalking: boolean): number {
  const rootFd = fs.openSync(asBuffer(root), O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC)
  try {
    if (isWalking || isOpenat2Missing) return walkBelow(rootFd, below)
    const fd = libc('syscall')(SYS_OPENAT2, rootFd, cPath(below), HOW_BYTES, HOW_BYTES.length)
    if (fd >= 0) return fd
    try {
      return throwErrno('syscall', below)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // EPERM: a sandbox that does not know the call. Where it stands for something else the walk says so again.
      if (code !== 'ENOSYS' && code !== 'EPERM') throw error
      isOpenat2Missing = code === 'ENOSYS'
      return walkBelow(rootFd, below)
    }
  } finally {
    fs.closeSync(rootFd)
  }
}

function walkBelow(rootFd: number, below: Uint8Array): number {
  let fd = rootFd
  try {
    const names = splitNames(below)
    for (const [i, name] of names.entries()) {
      const isLast = i === names.length - 1
      const path = Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), name])
      const next = fs.openSync(path, isLast ? OPEN_FILE : O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC)
      if (fd !== rootFd) fs.closeSync(fd)
      fd = next
    }
    return fd
  } catch (error) {
    if (fd !== rootFd) fs.closeSync(fd)
    throw error
  }
}

/** @throws EXDEV for a name that leads elsewhere than into its folder */
function splitNames(below: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = []
  for (let start = 0; start <= below.length; ) {
    const slash = below.indexOf(SLASH, start)
    const end = slash === -1 ? below.length : slash
    const name = below.subarray(start, end)
    if (name.length === 0 || (name.length <= 2 && name.every((byte) => byte === 0x2e))) {
      throw Object.assign(new Error(`EXDEV: not below its folder '${printableName(below)}'`), {
        code: 'EXDEV',
      })
    }
    names.push(name)
    start = end + 1
  }
  return names
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
