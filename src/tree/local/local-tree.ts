/**
 * Brings what belongs to the users of a check-out from the old tree into the new one, in two steps, so that a reader
 * finds it at every instant and nothing that is written to it meanwhile is lost.
 *
 * 1. Before the switch the new tree gets second names (hard links) of the files, in directories of its own.
 * 2. After the switch each local path is exchanged with the original in the old tree, in one rename. Open files and
 *    working directories go on; what was made in the stand-in meanwhile is moved into the original.
 *
 * Killed between the two, the marker still says what is to be exchanged, and the next check-out does it.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { asMirrorError } from '../../base/errors.ts'
import { mountsWithin } from '../../posix/mounts.ts'
import { exchange } from '../../posix/rename.ts'
import { setMtime } from '../../posix/times.ts'
import { rootIdentity } from '../manifest/checkout-marker.ts'
import { joinPath, parentPath, splitPath } from '../path-bytes.ts'
import { inodeOf } from '../spool/inode.ts'

const GONE = new Set(['ENOENT', 'ENOTDIR'])
/** The original comes in step 2 all the same: its readers may miss it in between. */
const NO_LINK = new Set([
  ...GONE,
  'EMLINK',
  'EPERM',
  'EACCES',
  'EXDEV',
  'ENAMETOOLONG',
  'ENOTSUP',
  'EOPNOTSUPP',
])

/** Step 1. */
export function linkLocal(old: Buffer, staging: Buffer, below: Buffer): void {
  const made: Buffer[] = []
  const missing: Buffer[] = []
  for (let at = parentPath(below); at.length > 0 && !exists(joinPath(staging, at)); at = parentPath(at)) {
    missing.push(at)
  }
  for (const at of missing.reverse()) {
    fs.mkdirSync(joinPath(staging, at), { mode: 0o700 })
    made.push(at)
  }
  linkTree(joinPath(old, below), joinPath(staging, below))
  for (const at of made.reverse()) copyMetadata(joinPath(old, at), joinPath(staging, at))
}

function linkTree(from: Buffer, to: Buffer): void {
  try {
    if (!fs.lstatSync(from).isDirectory()) {
      fs.linkSync(from, to)
      return
    }
    fs.mkdirSync(to, { mode: 0o700 })
    for (const name of fs.readdirSync(from, { encoding: 'buffer' })) {
      linkTree(joinPath(from, name), joinPath(to, name))
    }
    copyMetadata(from, to)
  } catch (error) {
    if (!NO_LINK.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

function copyMetadata(from: Buffer, to: Buffer): void {
  const stat = fs.lstatSync(from, { bigint: true })
  const { uid, gid, mode, mtimeSec, mtimeNsec } = inodeOf(stat)
  if (process.geteuid?.() === 0) fs.lchownSync(to, uid, gid)
  fs.chmodSync(to, mode)
  setMtime(to, mtimeSec, mtimeNsec)
}

/** A local path, and which original is to come to it. */
export interface LocalMove {
  readonly path: Buffer
  readonly identity: string
}

export function localMoves(old: Buffer, paths: readonly Buffer[]): LocalMove[] {
  return paths.flatMap((path) => {
    const identity = rootIdentity(joinPath(old, path))
    return identity === undefined ? [] : [{ path, identity }]
  })
}

/**
 * Step 2; done again after a kill it changes nothing. One that cannot come over does not keep the others back.
 * @param swap RENAME_EXCHANGE, or what stands in for it
 * @throws MirrorError for the first that is still in the old tree
 */
export function bringOver(
  old: Buffer,
  dest: Buffer,
  moves: readonly LocalMove[],
  swap: (a: Buffer, b: Buffer) => void = exchange,
): void {
  const failures: unknown[] = []
  for (const move of moves) {
    try {
      for (const top of [old, dest]) checkParents(top, move.path)
      bringOne(joinPath(old, move.path), joinPath(dest, move.path), move.identity, swap)
    } catch (error) {
      failures.push(
        asMirrorError(
          error,
          `bring ${printableName(move.path)} over from the old tree in ${printableName(old)}`,
          { hint: 'It is whole there, and the next check-out brings it: unmount what is mounted at it.' },
        ),
      )
    }
  }
  if (failures.length > 0) throw failures[0]
}

/**
 * What lies there is other people's: a link in the place of a folder on the way would have us move what it leads to.
 * @throws as fs does; ELOOP for such a link
 */
function checkParents(top: Buffer, below: Buffer): void {
  const parent = parentPath(below)
  let found: Buffer
  try {
    found = fs.realpathSync.native(joinPath(top, parent), { encoding: 'buffer' })
  } catch (error) {
    // Then nothing is there to be moved.
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return
    throw error
  }
  if (found.equals(joinPath(fs.realpathSync.native(top, { encoding: 'buffer' }), parent))) return
  throw Object.assign(new Error('ELOOP: a symbolic link is on the way to it'), { code: 'ELOOP' })
}

function bringOne(
  original: Buffer,
  standIn: Buffer,
  identity: string,
  swap: (a: Buffer, b: Buffer) => void,
): void {
  if (rootIdentity(original) === identity && rootIdentity(standIn) !== identity) {
    keepingTimes(splitPath(standIn).dir, () => {
      if (exists(standIn)) swap(original, standIn)
      else fs.renameSync(original, standIn)
    })
  }
  // What the old tree has now is the stand-in.
  if (rootIdentity(standIn) === identity) bringLate(original, standIn)
  else if (mountsWithin(original).length > 0) {
    throw Object.assign(new Error('EBUSY: something is mounted there'), { code: 'EBUSY' })
  }
}

/** The directory belongs to the snapshot, whose time it has; and it may be closed to its owner. */
function keepingTimes(dir: Buffer, work: () => void): void {
  const { mode, mtimeSec, mtimeNsec } = inodeOf(fs.lstatSync(dir, { bigint: true }))
  const isClosed = (mode & 0o300) !== 0o300
  if (isClosed) fs.chmodSync(dir, mode | 0o300)
  try {
    work()
  } finally {
    if (isClosed) fs.chmodSync(dir, mode)
    setMtime(dir, mtimeSec, mtimeNsec)
  }
}

/** What users made in the stand-in while it was in the place of the original. */
function bringLate(standIn: Buffer, original: Buffer): void {
  const late = statOf(standIn)
  if (late === undefined) return
  const known = statOf(original)
  if (known === undefined) {
    fs.renameSync(standIn, original)
  } else if (late.isDirectory() && known.isDirectory()) {
    for (const name of fs.readdirSync(standIn, { encoding: 'buffer' })) {
      bringLate(joinPath(standIn, name), joinPath(original, name))
    }
  } else if (late.ino !== known.ino && !late.isDirectory() && !known.isDirectory()) {
    // Replaced by an editor, say. The newer of the two was put there later.
    if (late.ctimeNs > known.ctimeNs) fs.renameSync(standIn, original)
  }
}

function statOf(path: Buffer): fs.BigIntStats | undefined {
  try {
    return fs.lstatSync(path, { bigint: true })
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

function exists(path: Buffer): boolean {
  return statOf(path) !== undefined
}
