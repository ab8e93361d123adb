/**
 * One program at a time per store. The kernel's lock on the file decides (flock: it ends with its holder, kill -9
 * included, so there is no stale lock to judge); the pid inside only names the holder in the error.
 */
import fs from 'node:fs'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import { tryLock } from '../posix/lock.ts'

/**
 * Takes the lock; the returned function gives it back.
 * @throws MirrorError `busy` naming the pid that holds it
 */
export function lockStore(path: string): () => void {
  let fd: number
  try {
    fd = fs.openSync(path, 'a+', 0o600)
  } catch (error) {
    throw asMirrorError(error, `lock ${path}`)
  }
  try {
    if (!tryLock(fd)) {
      const pid = fs.readFileSync(path, 'latin1').trim()
      throw new MirrorError('busy', `the store is in use by process ${/^\d+$/.test(pid) ? pid : 'unknown'}`, {
        facts: { path, ...(/^\d+$/.test(pid) ? { pid: Number(pid) } : {}) },
        hint: 'Use the running daemon, or stop it first.',
      })
    }
    fs.ftruncateSync(fd, 0)
    fs.writeSync(fd, `${process.pid}\n`)
  } catch (error) {
    fs.closeSync(fd)
    throw asMirrorError(error, `lock ${path}`)
  }
  let isHeld = true
  return () => {
    if (!isHeld) return
    isHeld = false
    // The file stays: removing it would let two openers lock two files of one name.
    fs.closeSync(fd)
  }
}
