/**
 * Makes a file of a check-out by cloning the file that another check-out has at the same path: nothing is read or
 * written, the two share their place on the disk until one of them changes, and what is written to one never shows in
 * the other. Only a file that is still what was written there is cloned.
 */
import fs from 'node:fs'
import { cloneContent } from '../../posix/clone.ts'
import { compareState } from '../manifest/file-state.ts'
import type { Reuse } from './reuse-file.ts'
import { GONE, mayHaveHoles } from './reuse-file.ts'

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants
/** The file system cannot, or not this file: then it is written. */
const NO_CLONE = new Set([
  'ENOTSUP',
  'EOPNOTSUPP',
  'EINVAL',
  'ENOTTY',
  'EXDEV',
  'ENOSYS',
  'EPERM',
  'ETXTBSY',
  'EIO',
])

export interface Clone {
  readonly from: Buffer
  readonly state: Buffer
  /** The content was read and is what the snapshot says: `unsure` counts as unchanged. */
  readonly isContentKnown: boolean
  /** Runs `make` with its parents made. */
  readonly withParents: (make: () => number) => number
  readonly to: Buffer
  /** The clone has the content and nothing else yet. */
  readonly finish: (fd: number) => void
}

export function cloneFile({ from, to, state, isContentKnown, withParents, finish }: Clone): Reuse {
  const source = openSource(from)
  if (source === undefined) return 'changed'
  try {
    const before = fs.fstatSync(source, { bigint: true })
    const looks = compareState(state, before)
    if (looks === 'changed') return 'changed'
    if (looks === 'unsure') {
      if (!isContentKnown) return 'unsure'
      if (mayHaveHoles(before)) return 'changed'
    }
    const target = withParents(() => fs.openSync(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600))
    try {
      if (isCloned(source, target) && fs.fstatSync(source, { bigint: true }).ctimeNs === before.ctimeNs) {
        finish(target)
        return 'taken'
      }
    } finally {
      fs.closeSync(target)
    }
    // It cannot be cloned; or somebody wrote to it between the look and the clone.
    fs.unlinkSync(to)
    return 'changed'
  } finally {
    fs.closeSync(source)
  }
}

function openSource(path: Buffer): number | undefined {
  try {
    return fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

function isCloned(source: number, target: number): boolean {
  try {
    cloneContent(source, target)
    return true
  } catch (error) {
    if (NO_CLONE.has((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/** Whether files in this folder can be cloned. @param names two free names in it */
export function canClone(names: readonly [Buffer, Buffer]): boolean {
  const fds: number[] = []
  try {
    for (const name of names) fds.push(fs.openSync(name, 'wx+', 0o600))
    const [from, to] = fds as [number, number]
    fs.writeSync(from, Buffer.alloc(4096, 1))
    return isCloned(from, to)
  } finally {
    for (const fd of fds) fs.closeSync(fd)
    for (const name of names) fs.rmSync(name, { force: true })
  }
}
