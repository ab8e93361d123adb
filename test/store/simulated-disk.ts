/**
 * A disk in memory that keeps no more than POSIX promises. What was written is seen at once; what a power loss leaves
 * of it is any part that was not synced: each unsynced write whole, torn or not at all, each unsynced entry of a
 * folder there or not (of a rename both or none, as journals keep it). Any write or sync can be made to fail, and a failed fdatasync forgets what it was to write
 * while readers still see it, as Linux does.
 */
import type { FileOps, StoreFile } from '../../src/store/files.ts'

type Change = { readonly position: number; readonly bytes: Uint8Array } | { readonly sizeBytes: number }

interface Inode {
  seen: Uint8Array
  durable: Uint8Array
  unsynced: Change[]
  isChangedSinceBoot: boolean
  readonly number: bigint
  changes: bigint
}

let lastInode = 0n

function newInode(bytes: Uint8Array, isChangedSinceBoot: boolean): Inode {
  const number = ++lastInode
  return {
    seen: bytes.slice(),
    durable: bytes.slice(),
    unsynced: [],
    isChangedSinceBoot,
    number,
    changes: 0n,
  }
}

type DirChange = { readonly path: string; readonly inode: Inode | undefined; readonly group: number }

export class PowerLoss extends Error {}

export interface SimulatedDisk extends FileOps {
  /** Operations that change the disk or sync, so far. */
  readonly operations: number
  /** For what shares the disk, such as an index: one more operation. */
  count(what: string): void
  /** Called before each of them with its number and name; may throw. A write that throws has been half done. */
  beforeOperation: (operation: number, what: string) => void
  /** What is there after a power loss, as a new disk. */
  afterPowerLoss(random: () => number): SimulatedDisk
  /** For tests that damage what lies on the disk. */
  bytesOf(path: string): Uint8Array
  freeBytesNow: number
}

export function createSimulatedDisk(
  durableFiles: ReadonlyMap<string, Uint8Array> = new Map(),
): SimulatedDisk {
  const durableNames = new Map<string, Inode>()
  const names = new Map<string, Inode>()
  let dirChanges: DirChange[] = []
  for (const [path, bytes] of durableFiles) {
    const inode = newInode(bytes, false)
    durableNames.set(path, inode)
    names.set(path, inode)
  }

  function count(what: string): void {
    disk.operations += 1
    disk.beforeOperation(disk.operations, what)
  }

  let lastGroup = 0

  function link(path: string, inode: Inode | undefined, group = ++lastGroup): void {
    if (inode === undefined) names.delete(path)
    else names.set(path, inode)
    dirChanges.push({ path, inode, group })
  }

  function syncNames(isSynced: (path: string) => boolean): void {
    const groups = new Set(dirChanges.flatMap(({ path, group }) => (isSynced(path) ? [group] : [])))
    for (const { path, inode, group } of dirChanges) {
      if (!groups.has(group)) continue
      if (inode === undefined) durableNames.delete(path)
      else durableNames.set(path, inode)
    }
    dirChanges = dirChanges.filter(({ group }) => !groups.has(group))
  }

  function change(inode: Inode, made: Change): void {
    inode.seen = applyChange(inode.seen, made)
    inode.unsynced.push(made)
    inode.isChangedSinceBoot = true
    inode.changes += 1n
  }

  function openFile(inode: Inode, path: string): StoreFile {
    let isOpen = true
    function check(): void {
      if (!isOpen) throw errnoError('EBADF', path)
    }
    function sync(): void {
      check()
      const due = inode.unsynced
      inode.unsynced = []
      count(`sync ${path}`)
      inode.durable = due.reduce(applyChange, inode.durable)
    }
    function readNow(into: Uint8Array, position: number): number {
      check()
      const part = inode.seen.subarray(position, position + into.length)
      into.set(part)
      return part.length
    }
    function write(bytes: Uint8Array, position: number): void {
      check()
      try {
        count(`write ${path}`)
      } catch (error) {
        change(inode, { position, bytes: new Uint8Array(bytes.subarray(0, bytes.length >> 1)) })
        throw error
      }
      change(inode, { position, bytes: new Uint8Array(bytes) })
    }
    return {
      write,
      writeAll(parts, position) {
        let at = position
        for (const part of parts) {
          write(part, at)
          at += part.length
        }
      },
      read: async (into, position) => readNow(into, position),
      readNow,
      sync: async () => sync(),
      syncNow: sync,
      truncate(sizeBytes) {
        check()
        count(`truncate ${path}`)
        change(inode, { sizeBytes })
      },
      sizeBytes: () => inode.seen.length,
      close() {
        check()
        isOpen = false
      },
    }
  }

  const disk: SimulatedDisk & { operations: number } = {
    operations: 0,
    count,
    beforeOperation: () => undefined,
    freeBytesNow: Number.MAX_SAFE_INTEGER,
    open(path, mode) {
      let inode = names.get(path)
      if (mode === 'create') {
        if (inode !== undefined) throw errnoError('EEXIST', path)
        count(`create ${path}`)
        inode = newInode(new Uint8Array(0), true)
        link(path, inode)
      }
      if (inode === undefined) throw errnoError('ENOENT', path)
      return openFile(inode, path)
    },
    list: (dir) =>
      [...names.keys()]
        .flatMap((path) => (path.startsWith(`${dir}/`) ? [path.slice(dir.length + 1)] : []))
        .sort(),
    makeDir: () => undefined,
    rename(from, to) {
      count(`rename ${from}`)
      const inode = names.get(from)
      if (inode === undefined) throw errnoError('ENOENT', from)
      link(to, inode)
      link(from, undefined, lastGroup)
    },
    remove(path) {
      if (!names.has(path)) return
      count(`remove ${path}`)
      link(path, undefined)
    },
    async syncDir(dir) {
      count(`syncDir ${dir}`)
      syncNames((path) => path.slice(0, path.lastIndexOf('/')) === dir)
    },
    changedSinceBoot(path) {
      const inode = names.get(path)
      if (inode === undefined) throw errnoError('ENOENT', path)
      return inode.isChangedSinceBoot
    },
    freeBytes: async () => disk.freeBytesNow,
    openForeign(root, below) {
      const path =
        Buffer.from(root).toString() + (below.length === 0 ? '' : `/${Buffer.from(below).toString()}`)
      const inode = names.get(path)
      if (inode === undefined) throw errnoError('ENOENT', path)
      const { read, close } = openFile(inode, path)
      const { number, changes } = inode
      const identity = {
        dev: 1n,
        ino: number,
        sizeBytes: inode.seen.length,
        mtimeNs: changes,
        ctimeNs: changes,
      }
      return { identity: () => identity, read, close }
    },
    async syncForeign(root) {
      const prefix = Buffer.from(root).toString()
      count(`syncForeign ${prefix}`)
      const isBelow = (path: string): boolean => path === prefix || path.startsWith(`${prefix}/`)
      for (const [path, inode] of names) {
        if (!isBelow(path)) continue
        inode.durable = inode.unsynced.reduce(applyChange, inode.durable)
        inode.unsynced = []
      }
      syncNames(isBelow)
    },
    afterPowerLoss(random) {
      const left = new Map(durableNames)
      let lot = { group: 0, isLost: false }
      for (const { path, inode, group } of dirChanges) {
        if (group !== lot.group) lot = { group, isLost: random() < 0.5 }
        if (lot.isLost) continue
        if (inode === undefined) left.delete(path)
        else left.set(path, inode)
      }
      const files = new Map<string, Uint8Array>()
      for (const [path, { durable, unsynced }] of left) {
        let bytes = durable
        for (const made of unsynced) {
          const fate = random()
          if (fate < 0.4) bytes = applyChange(bytes, made)
          else if (fate < 0.8 && 'bytes' in made) bytes = applyChange(bytes, tear(made, random))
        }
        files.set(path, bytes)
      }
      return createSimulatedDisk(files)
    },
    bytesOf(path) {
      const inode = names.get(path)
      if (inode === undefined) throw errnoError('ENOENT', path)
      return inode.seen
    },
  }
  return disk
}

/** What a caller of the system would see. */
export function errnoError(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated, ${path}`), { code })
}

function applyChange(bytes: Uint8Array, made: Change): Uint8Array {
  const sizeBytes =
    'sizeBytes' in made ? made.sizeBytes : Math.max(bytes.length, made.position + made.bytes.length)
  const changed = new Uint8Array(sizeBytes)
  changed.set(bytes.subarray(0, sizeBytes))
  if ('bytes' in made) changed.set(made.bytes, made.position)
  return changed
}

/** A part of the write; the rest of its range may read as zeros, when the size got to the disk and the bytes did not. */
function tear(made: { position: number; bytes: Uint8Array }, random: () => number): Change {
  const from = random() < 0.5 ? 0 : Math.floor(random() * made.bytes.length)
  const to = from + Math.floor(random() * (made.bytes.length - from + 1))
  return { position: made.position + from, bytes: made.bytes.slice(from, to) }
}
