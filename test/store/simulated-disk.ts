/**
 * A disk in memory that keeps no more than POSIX promises. What was written is seen at once; what a power loss leaves
 * of it is any part that was not synced: each unsynced write whole, torn or not at all, each unsynced entry of a
 * folder there or not. Any write or sync can be made to fail, and a failed fdatasync forgets what it was to write
 * while readers still see it, as Linux does.
 */
import type { FileOps, StoreFile } from '../../src/store/files.ts'

type Change = { readonly position: number; readonly bytes: Uint8Array } | { readonly sizeBytes: number }

interface Inode {
  seen: Uint8Array
  durable: Uint8Array
  unsynced: Change[]
  isChangedSinceBoot: boolean
}

type DirChange = { readonly path: string; readonly inode: Inode | undefined }

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
    const inode = { seen: bytes.slice(), durable: bytes.slice(), unsynced: [], isChangedSinceBoot: false }
    durableNames.set(path, inode)
    names.set(path, inode)
  }

  function count(what: string): void {
    disk.operations += 1
    disk.beforeOperation(disk.operations, what)
  }

  function link(path: string, inode: Inode | undefined): void {
    if (inode === undefined) names.delete(path)
    else names.set(path, inode)
    dirChanges.push({ path, inode })
  }

  function change(inode: Inode, made: Change): void {
    inode.seen = applyChange(inode.seen, made)
    inode.unsynced.push(made)
    inode.isChangedSinceBoot = true
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
    return {
      write(bytes, position) {
        check()
        try {
          count(`write ${path}`)
        } catch (error) {
          change(inode, { position, bytes: new Uint8Array(bytes.subarray(0, bytes.length >> 1)) })
          throw error
        }
        change(inode, { position, bytes: new Uint8Array(bytes) })
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
        inode = {
          seen: new Uint8Array(0),
          durable: new Uint8Array(0),
          unsynced: [],
          isChangedSinceBoot: true,
        }
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
      link(from, undefined)
    },
    remove(path) {
      if (!names.has(path)) return
      count(`remove ${path}`)
      link(path, undefined)
    },
    async syncDir(dir) {
      count(`syncDir ${dir}`)
      const isWithin = ({ path }: DirChange) => path.slice(0, path.lastIndexOf('/')) === dir
      for (const { path, inode } of dirChanges.filter(isWithin)) {
        if (inode === undefined) durableNames.delete(path)
        else durableNames.set(path, inode)
      }
      dirChanges = dirChanges.filter((made) => !isWithin(made))
    },
    changedSinceBoot(path) {
      const inode = names.get(path)
      if (inode === undefined) throw errnoError('ENOENT', path)
      return inode.isChangedSinceBoot
    },
    freeBytes: async () => disk.freeBytesNow,
    afterPowerLoss(random) {
      const left = new Map(durableNames)
      for (const { path, inode } of dirChanges) {
        if (random() < 0.5) continue
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
