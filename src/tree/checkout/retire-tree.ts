/**
 * Removes a tree that was a check-out, or was to become one, and shares files with the check-out that is there now.
 * Taking away a name moves the ctime of the file: of each shared file it is looked whether it is still as noted, the
 * old name is taken away, and the new ctime is noted, in this order and at once. For a thread of its own.
 *
 * Killed in between, the manifest does not know the new times, and the next check-out reads those files and compares.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { tryLock } from '../../posix/lock.ts'
import { mountsWithin } from '../../posix/mounts.ts'
import type { ManifestReader } from '../manifest/checkout-manifest.ts'
import { createManifestWriter, FILE, openManifest } from '../manifest/checkout-manifest.ts'
import {
  compareState,
  forgetCtime,
  isSameButCtime,
  stateFacts,
  writeFileState,
} from '../manifest/file-state.ts'
import { joinPath, parentPath } from '../path-bytes.ts'
import { removeTree } from './remove-tree.ts'

export interface RetireInput {
  /** What goes. */
  readonly path: Uint8Array
  /** The check-out that is there now, with its manifest and the identity of its root. */
  readonly current?: {
    readonly dir: Uint8Array
    readonly root: string
    readonly manifest: Uint8Array
    /** A free name beside it. */
    readonly temporary: Uint8Array
  }
}

export function retireTree({ path, current }: RetireInput): void {
  const target = Buffer.from(path)
  const stat = fs.lstatSync(target, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isDirectory()) {
    removeTree(target)
    return
  }
  checkMounts(target)
  if ((stat.mode & 0o700) !== 0o700) fs.chmodSync(target, 0o700)
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants
  const lock = fs.openSync(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    if (!tryLock(lock)) {
      throw new MirrorError(
        'busy',
        `${printableName(target)} is being removed, or written, by another process`,
      )
    }
    const manifest = current && openManifest(current.manifest, current.root)
    if (manifest !== undefined) noteTimes(target, manifest, current!)
    removeTree(target)
  } finally {
    fs.closeSync(lock)
  }
}

/**
 * Without room for the new manifest the old one stays: the tree that goes may be what fills the disk, and what the
 * manifest does not know costs the next check-out time and nothing else.
 */
function noteTimes(
  target: Buffer,
  manifest: ManifestReader,
  { dir, manifest: path, temporary }: NonNullable<RetireInput['current']>,
): void {
  const beside = Buffer.from(temporary)
  try {
    unshare(target, Buffer.from(dir), manifest, beside)
    fs.renameSync(beside, Buffer.from(path))
  } catch (error) {
    fs.rmSync(beside, { force: true })
    if (!['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    manifest.close()
  }
}

/** A mounted file system would be emptied. */
function checkMounts(target: Buffer): void {
  const [mount] = mountsWithin(fs.realpathSync(target, { encoding: 'buffer' }))
  if (mount === undefined) return
  throw new MirrorError(
    'conflict',
    `${printableName(target)} is not removed: ${printableName(mount)} is mounted`,
    {
      hint: 'Unmount it: the next check-out removes the old tree.',
    },
  )
}

function unshare(old: Buffer, dir: Buffer, manifest: ManifestReader, temporary: Buffer): void {
  const fd = fs.openSync(temporary, 'wx', 0o600)
  const top = fs.realpathSync(old, { encoding: 'buffer' })
  let lastParent: Buffer | undefined
  let isLastReal = false

  /** A link that somebody put in the place of a directory may lead into the check-out itself. */
  function isReal(parent: Buffer): boolean {
    if (lastParent?.equals(parent) !== true) {
      lastParent = Buffer.from(parent)
      const path = joinPath(top, parent)
      try {
        isLastReal = fs.realpathSync.native(path, { encoding: 'buffer' }).equals(path)
      } catch {
        isLastReal = false
      }
    }
    return isLastReal
  }

  try {
    const out = createManifestWriter(fd, manifest.head)
    for (let record = manifest.peek(); record !== undefined; record = manifest.peek()) {
      manifest.take()
      if (record.kind === FILE && isReal(parentPath(record.path))) {
        unshareFile(old, dir, record.path, record.state!)
      }
      out.add(record)
    }
    out.end()
    fs.fdatasyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Changes the state. */
function unshareFile(old: Buffer, dir: Buffer, below: Buffer, state: Buffer): void {
  const path = joinPath(dir, below)
  const stat = statOf(path)
  if (stat === undefined || compareState(state, stat) !== 'same') return
  const facts = stateFacts(state)
  if (stat.nlink <= BigInt(facts.names)) return
  if (facts.names > 1) {
    // Its other names in the old tree are not known here: they go with the rest.
    forgetCtime(state)
    return
  }
  const other = joinPath(old, below)
  if (statOf(other)?.ino !== stat.ino) return
  fs.unlinkSync(other)
  const after = statOf(path)
  if (after !== undefined && isSameButCtime(state, after) && after.nlink === stat.nlink - 1n) {
    writeFileState(state, 0, after, facts)
  }
}

function statOf(path: Buffer): fs.BigIntStats | undefined {
  try {
    return fs.lstatSync(path, { bigint: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // A directory that its owner closed, or what users put in its way: nothing is known of the file then.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'ENAMETOOLONG')
      return undefined
    throw error
  }
}
