/**
 * The private place beside a destination where a check-out is written: `.<name>.mirrormesh-<16 hex digits>`, mode 0700,
 * on the destination's file system so that a rename can put it in place. Its creator holds a lock on it that dies with
 * the process; what is found unlocked is left over from a killed check-out and is removed.
 */
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { tryLock } from '../../posix/lock.ts'
import { listXattrs, removeXattr } from '../../posix/xattr.ts'
import { stemOf } from '../manifest/checkout-marker.ts'
import { joinPath } from '../path-bytes.ts'
import { reasonOf } from '../reason.ts'

export interface Staging {
  readonly path: Buffer
  /** The system gives what is made here attributes (a security module's labels) that cannot be taken away up front. */
  readonly inherits: boolean
  /** A free name of the same form: cleared like a staging place if it is left over. */
  freeName(): Buffer
  /** Gives the lock back; the place itself is the caller's. */
  release(): void
}

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants

/** @param type of the tree's root; a symbolic link's place is made by the caller */
export function createStaging(dest: Buffer, type: 'directory' | 'file' | 'symlink'): Staging {
  const place = stemOf(dest)
  const freeName = (): Buffer => freeNameBeside(place)
  for (;;) {
    const path = freeName()
    if (type === 'symlink')
      return { path, inherits: inheritsBeside(place.dir), freeName, release: () => undefined }
    if (type === 'directory') fs.mkdirSync(path, { mode: 0o700 })
    else fs.closeSync(fs.openSync(path, 'wx', 0o600))
    const fd = lockPlace(path)
    // Between its making and its lock somebody may have cleared it away: then once more.
    if (fd === undefined) continue
    return { path, inherits: isolate(fd, type), freeName, release: () => fs.closeSync(fd) }
  }
}

/**
 * Takes from the new place what its parent has lent to it and what it would lend to all below: ACLs, a group, setgid.
 * Returns whether attributes are left.
 */
function isolate(fd: number, type: 'directory' | 'file'): boolean {
  for (const name of listXattrs(fd)) {
    try {
      removeXattr(fd, name)
    } catch (error) {
      reasonOf(error) // a label of the system's own cannot be removed
    }
  }
  const gid = process.getegid?.()
  if (gid !== undefined && fs.fstatSync(fd).gid !== gid) fs.fchownSync(fd, fs.fstatSync(fd).uid, gid)
  fs.fchmodSync(fd, type === 'directory' ? 0o700 : 0o600)
  return listXattrs(fd).length > 0
}

function inheritsBeside(dir: Buffer): boolean {
  return listXattrs(dir).length > 0
}

export function freeNameBeside({ dir, stem }: { dir: Buffer; stem: Buffer }): Buffer {
  return joinPath(dir, Buffer.concat([stem, Buffer.from(`-${randomBytes(8).toString('hex')}`)]))
}

/** The descriptor that holds the lock, or undefined when the place is another's or gone. */
function lockPlace(path: Buffer): number | undefined {
  let fd: number
  try {
    fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    if (tryLock(fd) && fs.fstatSync(fd).ino === fs.lstatSync(path).ino) return fd
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  fs.closeSync(fd)
  return undefined
}

/**
 * Paths of what killed check-outs to `dest` left over.
 * @param except the caller's own
 * @throws MirrorError `busy` when another check-out to `dest` is in progress
 */
export function findLeftovers(dest: Buffer, except?: Buffer): Buffer[] {
  const { dir, stem } = stemOf(dest)
  const prefix = `${stem.toString('latin1')}-`
  const found: Buffer[] = []
  for (const name of fs.readdirSync(dir, { encoding: 'latin1' })) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{16}$/.test(name.slice(prefix.length))) continue
    const path = joinPath(dir, Buffer.from(name, 'latin1'))
    if (except?.equals(path) === true) continue
    if (isLive(path)) {
      throw new MirrorError('busy', `another check-out to ${printableName(dest)} is in progress`, {
        hint: 'Wait for it to end, then try again.',
      })
    }
    found.push(path)
  }
  return found
}

function isLive(path: Buffer): boolean {
  try {
    const stat = fs.lstatSync(path)
    if (stat.isSymbolicLink()) return false
    if ((stat.mode & 0o400) === 0) fs.chmodSync(path, 0o700)
    const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      return !tryLock(fd)
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
