/** The tree that is replicated: a folder of choice, or real files of this checkout up to a size. */
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { MirrorError } from '../../../src/base/errors.ts'
import type { SourceTree } from './system.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
/** Sources first, then packages by name: scripts, texts, maps, and programs. */
const SOURCES = ['src', 'node', 'test', 'docs']

export function weighTree(path: string): SourceTree {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
    throw new MirrorError('not-found', `${path} is not a folder`)
  const seen = new Set<number>()
  let [files, bytes] = [0, 0]
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const stats = lstatSync(join(entry.parentPath, entry.name))
    files++
    // A hard link's bytes are on the disk once.
    if (stats.nlink === 1 || !seen.has(stats.ino)) bytes += stats.size
    if (stats.nlink > 1) seen.add(stats.ino)
  }
  return { path, files, bytes }
}

/** Copies what is here of this checkout, a folder at a time, as long as it fits. */
export function makeTree(path: string, maxBytes: number): SourceTree {
  const packages = join(ROOT, 'node_modules')
  const folders = [
    ...SOURCES.map((name) => join(ROOT, name)),
    ...readdirSync(packages)
      .filter((name) => name !== '.bin' && lstatSync(join(packages, name)).isDirectory())
      .sort()
      .map((name) => join(packages, name)),
  ]
  mkdirSync(path)
  let left = maxBytes
  for (const folder of folders) {
    const { bytes } = weighTree(folder)
    if (bytes > left) continue
    left -= bytes
    // Without the links that a checkout's packages may share with another's.
    execFileSync('cp', ['-a', '--no-preserve=links', '--reflink=auto', folder, path])
  }
  return weighTree(path)
}

const EDITED_SHARE = 0.02

/**
 * The next version: of every fiftieth file the middle is another, and the folder with the most files has another name.
 * The same for the same tree.
 */
export function editTree({ path }: SourceTree, to: string): SourceTree {
  execFileSync('cp', ['-a', '--reflink=auto', path, to])
  const files: string[] = []
  const folders = new Map<string, number>()
  for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.push(join(entry.parentPath, entry.name))
    const top = relative(to, entry.parentPath).split('/')[0]!
    if (top !== '') folders.set(top, (folders.get(top) ?? 0) + 1)
  }
  files.sort()
  const every = Math.round(1 / EDITED_SHARE)
  for (let i = every - 1; i < files.length; i += every) {
    const bytes = readFileSync(files[i]!)
    const middle = bytes.length >> 1
    const edited = Buffer.concat([
      bytes.subarray(0, middle),
      Buffer.from(`edited ${i}`),
      bytes.subarray(middle),
    ])
    writeFileSync(files[i]!, edited)
  }
  const [largest] = [...folders].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0] ?? []
  if (largest !== undefined) renameSync(join(to, largest), join(to, `${largest}-renamed`))
  return weighTree(to)
}
