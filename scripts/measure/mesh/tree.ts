/** The tree that is replicated: a folder of choice, or real files of this checkout up to a size. */
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
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
