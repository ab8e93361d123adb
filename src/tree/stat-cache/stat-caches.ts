/**
 * The folder of stat caches: one file for each tree and source path. A cache is replaced in one step, by one that was
 * written for a snapshot that is durable; together they stay under a bound, the one unused for the longest going first.
 * Losing one costs the next import its time, nothing else: nothing here is an error for an import.
 */
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { hex, utf8 } from '../../base/bytes.ts'
import { asMirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { blake3 } from '../../block/hash.ts'
import { makeDirs } from '../../posix/make-dirs.ts'
import type { CacheEnd, CacheSubject } from './file.ts'
import { finishCacheFile, openCacheFile } from './file.ts'

export interface StatCacheLog {
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
}

export interface OpenCache {
  readonly fd: number
  /** The snapshot that the source became, by the cache. */
  readonly snapshot: Cid
  close(): void
}

/** A cache being written. Exactly one of its ends is to be called. */
export interface NewCache {
  readonly fd: number
  /** For when `snapshot` is durable and known as the tree's. */
  commit(end: CacheEnd, snapshot: Cid): Promise<void>
  discard(reason?: string): void
}

export interface StatCaches {
  /** Undefined when there is none, or none that is whole. */
  open(subject: CacheSubject): OpenCache | undefined
  /** Undefined when it cannot be written. */
  create(subject: CacheSubject): NewCache | undefined
}

const MAX_BYTES = 4 * 1024 ** 3
/** Off the main thread: a cache of a million files takes a disk a second or two. */
const fdatasync = promisify(fs.fdatasync)

/** @param dir is made; temporary files in it that a kill left are removed */
export function openStatCaches(
  { dir, log }: { dir: string; log: StatCacheLog },
  { maxBytes = MAX_BYTES }: { maxBytes?: number } = {},
): StatCaches {
  attempt(undefined, () => {
    makeDirs(dir, 0o700)
    for (const name of fs.readdirSync(dir)) if (name.endsWith('.tmp')) fs.rmSync(path.join(dir, name))
  })

  /** A failure of the operating system becomes a line of the log. */
  function noteFailure(subject: CacheSubject | undefined, error: unknown): undefined {
    if (typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error
    log.warn({ tree: subject?.tree, err: asMirrorError(error, 'stat cache') }, 'stat-cache.failed')
    return undefined
  }

  function attempt<T>(subject: CacheSubject | undefined, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      return noteFailure(subject, error)
    }
  }

  async function attemptAsync<T>(subject: CacheSubject, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      return noteFailure(subject, error)
    }
  }

  function pathOf({ tree, root }: CacheSubject): string {
    const digest = blake3.digest(Buffer.concat([utf8(`${tree}\0`), root]))
    return path.join(dir, `${hex(digest.subarray(0, 16))}.stat`)
  }

  /** Oldest use first; `kept` stays. */
  function prune(kept: string): void {
    const files = fs
      .readdirSync(dir)
      .filter((name) => name.endsWith('.stat'))
      .map((name) => ({ file: path.join(dir, name), stat: fs.statSync(path.join(dir, name)) }))
      .sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs)
    let bytes = fs.statSync(kept).size
    for (const { file, stat } of files) {
      if (file === kept) continue
      bytes += stat.size
      if (bytes <= maxBytes) continue
      fs.rmSync(file, { force: true })
      log.info({ file, bytes: stat.size }, 'stat-cache.removed')
    }
  }

  return {
    open(subject) {
      const file = pathOf(subject)
      return attempt(subject, () => {
        if (!fs.existsSync(file)) return undefined
        const fd = fs.openSync(file, 'r')
        let cache: ReturnType<typeof openCacheFile>
        try {
          cache = openCacheFile(fd, subject)
          if (cache !== undefined) {
            const now = Date.now() / 1000
            fs.utimesSync(file, now, now)
          }
        } finally {
          if (cache === undefined) fs.closeSync(fd)
        }
        if (cache !== undefined) return { fd, snapshot: cache.snapshot, close: () => fs.closeSync(fd) }
        log.warn({ tree: subject.tree, file }, 'stat-cache.ignored')
        return undefined
      })
    },
    create(subject) {
      const file = pathOf(subject)
      const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
      const fd = attempt(subject, () => fs.openSync(temporary, 'wx+', 0o600))
      if (fd === undefined) return undefined
      let isOpen = true
      const close = (): void => {
        if (isOpen) fs.closeSync(fd)
        isOpen = false
      }
      function discard(reason?: string): void {
        attempt(subject, () => {
          close()
          fs.rmSync(temporary, { force: true })
        })
        if (reason !== undefined) log.warn({ tree: subject.tree, reason }, 'stat-cache.not-written')
      }
      return {
        fd,
        discard,
        async commit(end, snapshot) {
          const isDone = await attemptAsync(subject, async () => {
            finishCacheFile(fd, end, snapshot)
            await fdatasync(fd)
            close()
            fs.renameSync(temporary, file)
            prune(file)
            return true
          })
          if (isDone !== true) discard()
        },
      }
    },
  }
}
