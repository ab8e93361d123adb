/**
 * Takes a file of the tree that is being replaced into the one that takes its place, as a second name of the same
 * inode: nothing is read or written. Only a file that is still what was written there is taken.
 */
import fs from 'node:fs'
import { equalBytes } from '../../base/bytes.ts'
import { CID_KEY_BYTES } from '../../block/key-bytes.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import { getXattr, listXattrs } from '../../posix/xattr.ts'
import { compareState, isSameButCtime } from '../manifest/file-state.ts'
import { isSystemLabel } from './apply-metadata.ts'
import { matchesKey } from './pack-reader.ts'

/** `unsure`: only its content can tell whether the file is what was written. */
export type Reuse = 'taken' | 'unsure' | 'changed'

/** No second name can be given: too many, another file system, a rule of the system. Then the file is written anew. */
const NO_LINK = new Set(['EMLINK', 'EXDEV', 'EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])
/** Nothing can be taken from there. */
export const GONE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EACCES'])

export interface Taken {
  readonly outcome: Reuse
  /** Of the new name, when it was taken. */
  readonly stat?: fs.BigIntStats
}

export interface Take {
  readonly from: Buffer
  readonly to: Buffer
  readonly state: Buffer
  /** The content was read and is what the snapshot says: `unsure` counts as unchanged. */
  readonly isContentKnown: boolean
  /** Of its entry. */
  readonly xattrs: readonly Xattr[]
  readonly makeParents: () => void
}

export function takeFile({ from, to, state, isContentKnown, xattrs, makeParents }: Take): Taken {
  const before = statOf(from)
  if (before === undefined) return { outcome: 'changed' }
  const looks = compareState(state, before)
  if (looks === 'changed') return { outcome: 'changed' }
  if (looks === 'unsure') {
    if (!isContentKnown) return { outcome: 'unsure' }
    if (mayHaveHoles(before) || !hasXattrs(from, xattrs)) return { outcome: 'changed' }
  }
  if (!link(from, to, makeParents)) return { outcome: 'changed' }
  const stat = fs.lstatSync(to, { bigint: true })
  // An edit between the look and the link: by whoever uses the tree that is still in its place.
  if (stat.isFile() && isSameButCtime(state, stat) && stat.nlink === before.nlink + 1n) {
    return { outcome: 'taken', stat }
  }
  fs.unlinkSync(to)
  return { outcome: 'changed' }
}

/** The ctime moves with a hole as well, and the content does not tell. */
export function mayHaveHoles({ blocks, size }: fs.BigIntStats): boolean {
  return blocks * 512n < size
}

/** What the system gives by itself is no difference, as when attributes are applied. */
function hasXattrs(path: Buffer, wanted: readonly Xattr[]): boolean {
  try {
    const names = listXattrs(path)
    return (
      names.every((name) => isSystemLabel(name) || wanted.some((each) => equalBytes(each.name, name))) &&
      wanted.every(({ name, value }) => {
        const found = getXattr(path, name)
        return found !== undefined && equalBytes(found, value)
      })
    )
  } catch (error) {
    // Whatever the system says of the old file, the new one can be written.
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return false
    throw error
  }
}

function link(from: Buffer, to: Buffer, makeParents: () => void): boolean {
  for (let isAgain = false; ; isAgain = true) {
    try {
      fs.linkSync(from, to)
      return true
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' && !isAgain) makeParents()
      else if (NO_LINK.has(code) || GONE.has(code)) return false
      else throw error
    }
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

/** Whether the file at `path` consists of the blocks with these keys and lengths. */
export function hasContent(path: Buffer, keys: Uint8Array, lengths: Uint32Array): boolean {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
  let fd: number
  try {
    fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
  try {
    const buffer = Buffer.allocUnsafeSlow(lengths.reduce((most, length) => Math.max(most, length), 1))
    let position = 0
    for (let part = 0; part < lengths.length; part++) {
      const block = buffer.subarray(0, lengths[part]!)
      for (let done = 0; done < block.length; ) {
        const count = fs.readSync(fd, block, done, block.length - done, position + done)
        if (count === 0) return false
        done += count
      }
      position += block.length
      if (!matchesKey(block, keys.subarray(part * CID_KEY_BYTES, (part + 1) * CID_KEY_BYTES))) return false
    }
    return fs.fstatSync(fd).size === position
  } catch (error) {
    // Whatever the disk says of the old file, the new one can be written.
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return false
    throw error
  } finally {
    fs.closeSync(fd)
  }
}
