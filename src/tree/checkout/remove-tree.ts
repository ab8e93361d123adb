/**
 * Removes a tree that may hold anything: names that are no text, directories without permissions, paths longer than
 * the system takes. Each directory is entered through a descriptor, so no symbolic link is ever followed, whoever
 * plants one meanwhile. What is mounted in it, before or meanwhile, is never entered.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { joinPath } from '../path-bytes.ts'

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants

/**
 * Synchronous: for worker threads. What is not there is no error.
 * @throws MirrorError `conflict` for a mount point in it; what else is there may be gone by then
 */
export function removeTree(path: Buffer): void {
  const open: { fd: number; path: Buffer; names: string[] }[] = []
  let mount: string | undefined

  function enter(at: Buffer): void {
    const fd = openDirectory(at, (each) => {
      const found = mountOf(each)
      mount ??= found
      if (found === mount) return
      const where = printableName(fs.readlinkSync(here(each), { encoding: 'buffer' }))
      throw new MirrorError('conflict', `${printableName(path)} is not removed: ${where} is mounted`, {
        hint: 'Unmount it: the next check-out removes the old tree.',
      })
    })
    open.push({ fd, path: at, names: fs.readdirSync(here(fd), { encoding: 'latin1' }) })
  }

  try {
    if (unlink(path)) return
    enter(path)
    for (let top = open.at(-1)!; ; top = open.at(-1)!) {
      const next = top.names.pop()
      if (next !== undefined) {
        const child = joinPath(here(top.fd), Buffer.from(next, 'latin1'))
        if (!unlink(child)) enter(child)
        continue
      }
      open.pop()
      fs.closeSync(top.fd)
      fs.rmdirSync(top.path)
      if (open.length === 0) return
    }
  } finally {
    for (const { fd } of open) fs.closeSync(fd)
  }
}

function here(fd: number): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}`)
}

/** False for a directory. */
function unlink(path: Buffer): boolean {
  try {
    fs.unlinkSync(path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return true
    // Linux says EISDIR, POSIX EPERM.
    if (code === 'EISDIR' || code === 'EPERM') {
      if (fs.lstatSync(path).isDirectory()) return false
    }
    throw error
  }
}

/** Of the mount that the file is opened in, bind mounts included; the same for all where the system does not tell. */
function mountOf(fd: number): string {
  try {
    return /^mnt_id:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? ''
  } catch {
    return ''
  }
}

/** Opens a directory, has it checked, and makes it ours to empty. */
function openDirectory(path: Buffer, check: (fd: number) => void): number {
  let fd: number
  try {
    fd = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES' || !fs.lstatSync(path).isDirectory()) throw error
    fs.chmodSync(path, 0o700)
    fd = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  }
  try {
    check(fd)
    if ((fs.fstatSync(fd).mode & 0o700) !== 0o700) fs.fchmodSync(fd, 0o700)
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
  return fd
}
