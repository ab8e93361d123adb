/**
 * The directory in which a walk stands, held by descriptors. Each is opened through the one above it and never through
 * a symbolic link: whoever renames a directory or puts a link in its place while a tree is read cannot make the walk
 * leave the tree. It also reaches what lies deeper than one path can spell.
 *
 * Directories are opened when something in them is asked for. At most MAX_HELD descriptors are held.
 */
import fs from 'node:fs'
import { asBuffer, joinPath } from '../path-bytes.ts'

const { O_DIRECTORY, O_NOFOLLOW } = fs.constants
/** Of Linux: a place in the tree that cannot be read or written. Opening it takes no permission but to get there. */
const O_PATH = 0x20_0000
const MAX_HELD = 64

export interface Trail {
  /** Reaches `name` in the innermost directory; the directory itself for the empty name. Throws as open does. */
  path(name: Uint8Array): Buffer
  /** Of the innermost directory, to stat it; it closes by itself. */
  fd(): number
  enter(name: Uint8Array): void
  leave(): void
  /** Stands in the directory at this path below the root. */
  goTo(below: Uint8Array): void
  close(): void
}

interface Level {
  readonly name: Buffer
  fd: number | undefined
}

/** @param root absolute path of a directory, which is not followed when it is a link */
export function createTrail(root: Buffer): Trail {
  const levels: Level[] = [{ name: root, fd: undefined }]
  let held = 0
  /** Every level between the root and this one is closed. */
  let firstHeld = 1

  function open(level: Level, parent: number | undefined): number {
    const path = parent === undefined ? level.name : joinPath(directory(parent), level.name)
    const fd = fs.openSync(path, O_PATH | O_DIRECTORY | O_NOFOLLOW)
    level.fd = fd
    held += 1
    return fd
  }

  function fd(): number {
    let at = levels.length - 1
    while (at > 0 && levels[at]!.fd === undefined) at -= 1
    let current = levels[at]!.fd ?? open(levels[0]!, undefined)
    for (at += 1; at < levels.length; at += 1) {
      current = open(levels[at]!, current)
      firstHeld = Math.min(firstHeld, at)
      while (held > MAX_HELD && firstHeld < at) closeLevel(levels[firstHeld++]!)
    }
    return current
  }

  function closeLevel(level: Level): void {
    if (level.fd === undefined) return
    fs.closeSync(level.fd)
    level.fd = undefined
    held -= 1
  }

  function leave(): void {
    closeLevel(levels.pop()!)
    firstHeld = Math.min(firstHeld, Math.max(1, levels.length))
  }

  return {
    path: (name) => joinPath(directory(fd()), name.length === 0 ? DOT : name),
    fd,
    enter: (name) => void levels.push({ name: asBuffer(name), fd: undefined }),
    leave,
    goTo(below) {
      while (levels.length > 1) leave()
      for (const name of splitNames(below)) levels.push({ name, fd: undefined })
    },
    close() {
      for (const level of levels) closeLevel(level)
    },
  }
}

const DOT = Buffer.from('.')

function directory(fd: number): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}`)
}

function splitNames(below: Uint8Array): Buffer[] {
  if (below.length === 0) return []
  return Buffer.from(below)
    .toString('latin1')
    .split('/')
    .map((name) => Buffer.from(name, 'latin1'))
}
