/**
 * A file that this user may not read cannot give its blocks back. One is opened of those of a directory that have the same
 * owner and mode: the others can be read as well.
 */
import fs from 'node:fs'
import { openBeneath } from '../../posix/open-beneath.ts'
import type { FileIdentity } from '../../store/block-backings.ts'
import { parentPath } from '../path-bytes.ts'

export interface ReadableFiles {
  /** @param access what its owner and mode are, in any form */
  has(below: Buffer, access: string): boolean
  add(below: Buffer, access: string): void
}

/** Of one directory at a time: files come in walk order, more or less. */
export function createReadableFiles(): ReadableFiles {
  let dir: Buffer = Buffer.alloc(0)
  const found = new Set<string>()
  return {
    has: (below, access) => parentPath(below).equals(dir) && found.has(access),
    add(below, access) {
      const parent = parentPath(below)
      if (!parent.equals(dir)) {
        found.clear()
        dir = parent
      }
      found.add(access)
    },
  }
}

/** Undefined for a file that this user wrote and may not read again. */
export function lookAt(dir: Buffer, below: Buffer): FileIdentity | undefined {
  let fd: number
  try {
    fd = openBeneath(dir, below)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM') return undefined
    throw error
  }
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = fs.fstatSync(fd, { bigint: true })
    return { dev, ino, sizeBytes: Number(size), mtimeNs, ctimeNs }
  } finally {
    fs.closeSync(fd)
  }
}
