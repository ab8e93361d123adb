/**
 * Compares two folders the slow, independent way: nothing of mirrormesh is used, only lstat, readlink and read.
 * Every name (as bytes), type, mode, mtime in nanoseconds, link target, hard-link group and byte must agree.
 */
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs'

export interface Comparison {
  readonly identical: boolean
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  readonly bytes: number
  readonly differences: number
  /** The first twenty, printable. */
  readonly first: readonly string[]
}

const BUFFER_BYTES = 1024 * 1024
const MOST_SHOWN = 20

/**
 * @param ignored printable paths (as in a snapshot's report) that the snapshot says it could not capture
 */
export function compareFolders(
  source: string,
  copy: string,
  ignored: ReadonlySet<string> = new Set(),
): Comparison {
  const buffers = [Buffer.allocUnsafe(BUFFER_BYTES), Buffer.allocUnsafe(BUFFER_BYTES)] as const
  const counts = { files: 0, directories: 0, symlinks: 0, bytes: 0, differences: 0 }
  const first: string[] = []
  const copyOfInode = new Map<string, string>()
  const sourceOfInode = new Map<string, string>()

  const differs = (path: Buffer, what: string): void => {
    counts.differences++
    if (first.length < MOST_SHOWN) first.push(`${JSON.stringify(path.toString())}: ${what}`)
  }

  const compareLinks = (path: Buffer, a: BigIntStats, b: BigIntStats): void => {
    if (a.nlink < 2n && b.nlink < 2n) return
    const [inSource, inCopy] = [`${a.dev}:${a.ino}`, `${b.dev}:${b.ino}`]
    const known = copyOfInode.get(inSource)
    const back = sourceOfInode.get(inCopy)
    if ((known ?? inCopy) !== inCopy || (back ?? inSource) !== inSource) differs(path, 'other hard links')
    copyOfInode.set(inSource, inCopy)
    sourceOfInode.set(inCopy, inSource)
  }

  const compareBytes = (path: Buffer, a: Buffer, b: Buffer): void => {
    const [left, right] = [openSync(a, 'r'), openSync(b, 'r')]
    try {
      for (;;) {
        const read = readSync(left, buffers[0], 0, BUFFER_BYTES, null)
        const other = readSync(right, buffers[1], 0, BUFFER_BYTES, null)
        if (read !== other || buffers[0].compare(buffers[1], 0, other, 0, read) !== 0) {
          differs(path, 'other bytes')
          return
        }
        if (read === 0) return
        counts.bytes += read
      }
    } finally {
      closeSync(left)
      closeSync(right)
    }
  }

  const compareEntry = (path: Buffer, a: Buffer, b: Buffer): void => {
    const [left, right] = [lstatSync(a, { bigint: true }), lstatSync(b, { bigint: true })]
    if (typeOf(left) !== typeOf(right)) {
      differs(path, `is a ${typeOf(left)}, there a ${typeOf(right)}`)
      return
    }
    if (left.mode !== right.mode)
      differs(path, `mode ${left.mode.toString(8)}, there ${right.mode.toString(8)}`)
    if (left.mtimeNs !== right.mtimeNs) differs(path, `mtime ${left.mtimeNs} ns, there ${right.mtimeNs}`)
    if (left.isDirectory()) {
      counts.directories++
      compareChildren(path, a, b)
    } else if (left.isSymbolicLink()) {
      counts.symlinks++
      if (!readlinkSync(a, 'buffer').equals(readlinkSync(b, 'buffer'))) differs(path, 'another link target')
    } else if (left.isFile()) {
      counts.files++
      compareLinks(path, left, right)
      if (left.size !== right.size) differs(path, `${left.size} bytes, there ${right.size}`)
      else compareBytes(path, a, b)
    }
  }

  const compareChildren = (path: Buffer, a: Buffer, b: Buffer): void => {
    const names = readdirSync(a, { encoding: 'buffer' }).sort(Buffer.compare)
    const others = new Set(readdirSync(b, { encoding: 'buffer' }).map((name) => name.toString('latin1')))
    for (const name of names) {
      const child = path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name])
      const there = others.delete(name.toString('latin1'))
      if (there) compareEntry(child, join(a, name), join(b, name))
      else if (!ignored.has(child.toString())) differs(child, 'is missing in the copy')
    }
    for (const name of others)
      differs(Buffer.concat([path, Buffer.from('/'), Buffer.from(name, 'latin1')]), 'is only in the copy')
  }

  compareEntry(Buffer.alloc(0), Buffer.from(source), Buffer.from(copy))
  return { identical: counts.differences === 0, ...counts, first }
}

function join(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, Buffer.from('/'), name])
}

function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  return 'special file'
}
