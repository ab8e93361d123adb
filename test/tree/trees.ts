/** Real trees in temporary folders, and what can be seen of them from outside. */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { eachHole } from '../../src/posix/holes.ts'
import { setMtime } from '../../src/posix/times.ts'
import { readXattrs } from '../../src/posix/xattr.ts'
import type { Store } from '../../src/store/store.ts'
import { openStore } from '../../src/store/store.ts'
import type { CheckoutOptions, CheckoutResult } from '../../src/tree/checkout/checkout.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { removeTree } from '../../src/tree/checkout/remove-tree.ts'
import type { ImportOptions, ImportResult } from '../../src/tree/import/import.ts'
import { importTree } from '../../src/tree/import/import.ts'

export const isRoot = process.geteuid?.() === 0

export interface Bench {
  readonly dir: string
  readonly store: Store
  at(...names: string[]): string
  import(source: string | Uint8Array, options?: Partial<ImportOptions>): Promise<ImportResult>
  checkOut(from: ImportResult, dest: string, options?: Partial<CheckoutOptions>): Promise<CheckoutResult>
}

/** A temporary folder with a store in it, both gone when the test ends. */
export async function bench(t: TestContext, store?: Store): Promise<Bench> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-tree-'))
  const tempDir = path.join(dir, 'tmp')
  fs.mkdirSync(tempDir)
  const opened = store ?? (await openStore({ dir: path.join(dir, 'store'), clock: systemClock }))
  t.after(async () => {
    await opened.close()
    removeTree(Buffer.from(dir))
  })
  return {
    dir,
    store: opened,
    at: (...names) => path.join(dir, ...names),
    import: (source, options = {}) =>
      importTree(
        { blocks: opened.blocks, tempDir, clock: systemClock },
        { path: source, tree: 'test', ...options },
      ),
    checkOut: ({ snapshot }, dest, options = {}) =>
      checkOut({ blocks: opened.blocks, clock: systemClock }, { root: snapshot.root, dest, ...options }),
  }
}

/** Raw bytes under a text path. */
export function bytesPath(dir: string, name: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${dir}/`), name])
}

/** Bytes that look random and are the same each time. */
export function noise(length: number, seed = 1): Buffer {
  const out = Buffer.allocUnsafe(length)
  let state = (seed * 2_654_435_761) >>> 0 || 1
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    out[i] = state >>> 11
  }
  return out
}

/**
 * One line for each entry: path as latin1, type, mode, mtime in ns, owner, content, device, attributes, holes; then
 * which entries share an inode. Two trees that give the same lines are the same to every program that reads them.
 */
export function describeTree(root: string): string[] {
  const lines: string[] = []
  const inodes = new Map<bigint, string[]>()
  function visit(at: Buffer, below: string): void {
    const stat = fs.lstatSync(at, { bigint: true })
    let content = ''
    if (stat.isSymbolicLink())
      content = `-> ${fs.readlinkSync(at, { encoding: 'buffer' }).toString('latin1')}`
    else if (stat.isFile()) content = `${stat.size} ${describeContent(at, Number(stat.size))}`
    else if (stat.isBlockDevice() || stat.isCharacterDevice()) content = `device ${stat.rdev}`
    const attributes = readXattrs(at, (_, error) => {
      throw error
    }).map(
      ({ name, value }) =>
        `${JSON.stringify(Buffer.from(name).toString('latin1'))}=${Buffer.from(value).toString('hex')}`,
    )
    lines.push(
      `${JSON.stringify(below)} ${stat.mode.toString(8)} ${stat.mtimeNs} ${stat.uid}:${stat.gid} ${content} ${attributes}`,
    )
    if (!stat.isDirectory()) inodes.set(stat.ino, [...(inodes.get(stat.ino) ?? []), below])
    if (!stat.isDirectory()) return
    for (const name of fs.readdirSync(at, { encoding: 'latin1' }).sort()) {
      visit(Buffer.concat([at, Buffer.from('/'), Buffer.from(name, 'latin1')]), `${below}/${name}`)
    }
  }
  visit(Buffer.from(root), '')
  for (const paths of inodes.values()) if (paths.length > 1) lines.push(`links ${JSON.stringify(paths)}`)
  return lines
}

/** Digest of the data and the map of the holes, in pages: a hole that is no whole page is data. */
function describeContent(at: Buffer, size: number): string {
  // What its owner may not read holds nothing in these tests.
  if (size === 0) return ''
  const fd = fs.openSync(at, 'r')
  const hash = createHash('sha256')
  const holes: string[] = []
  const buffer = Buffer.alloc(4 * 1024 * 1024)
  let position = 0
  const hashTo = (end: number): void => {
    while (position < end) {
      const count = fs.readSync(fd, buffer, 0, Math.min(buffer.length, end - position), position)
      hash.update(buffer.subarray(0, count))
      position += count
    }
  }
  eachHole(fd, size, (start, end) => {
    const first = Math.ceil(start / 4096) * 4096
    const last = end === size ? size : Math.floor(end / 4096) * 4096
    if (last <= first) return
    holes.push(`${first}-${last}`)
    hashTo(first)
    position = last
  })
  hashTo(size)
  fs.closeSync(fd)
  return `${hash.digest('hex')} holes ${holes}`
}

export function setTime(target: string | Uint8Array, sec: number, nsec: number): void {
  setMtime(Buffer.from(target as string), sec, nsec)
}
