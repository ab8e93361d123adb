/**
 * The file operations the store needs, as a port: tests put a disk beneath it that fills up, fails or loses power at
 * any one of them. Writes are synchronous (they end in the page cache); what waits for a disk is not, except for
 * worker threads. Errors fly as the operating system throws them.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { makeDirs } from '../posix/make-dirs.ts'
import { openBeneath } from '../posix/open-beneath.ts'
import { gainsByReserving, reserveSpace } from '../posix/reserve-space.ts'
import { startWriteback, syncFileSystemLater } from '../posix/sync.ts'
import type { FileIdentity } from './block-backings.ts'

export interface StoreFile {
  /** Writes all of `bytes` or throws; after a throw any part of the range may have been written. */
  write(bytes: Uint8Array, position: number): void
  /** The same of many that follow each other. */
  writeAll(parts: readonly Uint8Array[], position: number): void
  /** Fills `into` from `position`. Returns the bytes read: fewer only where the file ends. */
  read(into: Uint8Array, position: number): Promise<number>
  readNow(into: Uint8Array, position: number): number
  /** fdatasync: the bytes and the size survive a power loss. */
  sync(): Promise<void>
  syncNow(): void
  /** A hint that these bytes will be synced soon: starts to write them, waits for nothing, promises nothing. */
  startSync?(position: number, sizeBytes: number): void
  /** A hint that this range, at the end of the file, will be written now: its place on the disk is found at once. */
  reserve?(position: number, sizeBytes: number): void
  truncate(sizeBytes: number): void
  sizeBytes(): number
  close(): void
}

/** A file outside of the store, for reading. */
export interface ForeignFile {
  /** As it is now. */
  identity(): FileIdentity
  /** Fills `into` from `position`. Returns the bytes read: fewer only where the file ends. */
  read(into: Uint8Array, position: number): Promise<number>
  close(): void
}

/** `create` refuses a file that exists. */
export type OpenMode = 'read' | 'write' | 'create'

export interface FileOps {
  open(path: string, mode: OpenMode): StoreFile
  /** The names in a folder, sorted. */
  list(dir: string): string[]
  /** With its parents; no error when it exists. */
  makeDir(dir: string): void
  rename(from: string, to: string): void
  /** A file, or a folder with all that is in it; no error when it is not there. */
  remove(path: string): void
  /** The folder's entries survive a power loss. */
  syncDir(dir: string): Promise<void>
  /**
   * False only when the file was last changed before this machine started: then what is read of it came from the disk,
   * and not from pages that a failed sync left in the cache (rewrite.ts).
   */
  changedSinceBoot(path: string): boolean
  /** Bytes that this process may still write on the file system of `dir`. */
  freeBytes(dir: string): Promise<number>
  /** A regular file below a folder that others write in: never what a link leads to (posix/open-beneath.ts). */
  openForeign(root: Uint8Array, below: Uint8Array): ForeignFile
  /** Everything below, contents and names, survives a power loss. */
  syncForeign(root: Uint8Array): Promise<void>
}

const OPEN_FLAGS: Readonly<Record<OpenMode, string>> = { read: 'r', write: 'r+', create: 'wx+' }
const FILE_MODE = 0o600
const BOOT_SLACK_MS = 60_000

const readAsync = promisify(
  (
    fd: number,
    into: Uint8Array,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null, count?: number) => void,
  ) => fs.read(fd, into, offset, length, position, done),
)
const fdatasync = promisify(fs.fdatasync)

export const systemFiles: FileOps = {
  open: (file, mode) => systemFile(fs.openSync(file, OPEN_FLAGS[mode], FILE_MODE), file),
  list: (dir) => fs.readdirSync(dir).sort(),
  makeDir: (dir) => makeDirs(dir, 0o700),
  rename: (from, to) => fs.renameSync(from, to),
  remove: (target) => fs.rmSync(target, { recursive: true, force: true }),
  async syncDir(dir) {
    const handle = await fs.promises.open(path.resolve(dir), 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
  // The time of change, not of modification: a copied file keeps the latter. The slack is for the two clocks' grain.
  changedSinceBoot: (file) => fs.statSync(file).ctimeMs > Date.now() - os.uptime() * 1000 - BOOT_SLACK_MS,
  async freeBytes(dir) {
    const { bavail, bsize } = await fs.promises.statfs(dir)
    return bavail * bsize
  },
  openForeign: (root, below) => foreignFile(openBeneath(root, below)),
  async syncForeign(root) {
    const fd = fs.openSync(Buffer.from(root), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    try {
      await syncFileSystemLater(fd)
    } finally {
      fs.closeSync(fd)
    }
  },
}

function foreignFile(fd: number): ForeignFile {
  return {
    identity() {
      const { dev, ino, size, mtimeNs, ctimeNs } = fs.fstatSync(fd, { bigint: true })
      return { dev, ino, sizeBytes: Number(size), mtimeNs, ctimeNs }
    },
    read: (into, position) => readFully(fd, into, position),
    close: () => fs.closeSync(fd),
  }
}

async function readFully(fd: number, into: Uint8Array, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const count = (await readAsync(fd, into, done, into.length - done, position + done)) ?? 0
    if (count === 0) break
    done += count
  }
  return done
}

function systemFile(fd: number, path: string): StoreFile {
  let isReserving: boolean | undefined
  function write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done)
    }
  }
  return {
    write,
    writeAll(parts, position) {
      let left = fs.writevSync(fd, parts as Uint8Array[], position)
      let at = position
      for (const part of parts) {
        // A disk that is full, or a signal, ends a call early: what is left is written, or fails, by itself.
        if (left < part.length) write(part.subarray(left), at + left)
        left = Math.max(0, left - part.length)
        at += part.length
      }
    },
    read: (into, position) => readFully(fd, into, position),
    readNow(into, position) {
      let done = 0
      while (done < into.length) {
        const count = fs.readSync(fd, into, done, into.length - done, position + done)
        if (count === 0) break
        done += count
      }
      return done
    },
    sync: () => fdatasync(fd),
    syncNow: () => fs.fdatasyncSync(fd),
    startSync: (position, sizeBytes) => startWriteback(fd, position, sizeBytes),
    reserve(position, sizeBytes) {
      isReserving ??= gainsByReserving(path)
      if (isReserving) isReserving = reserveSpace(fd, position, sizeBytes)
    },
    truncate: (sizeBytes) => fs.ftruncateSync(fd, sizeBytes),
    sizeBytes: () => fs.fstatSync(fd).size,
    close: () => fs.closeSync(fd),
  }
}
