/**
 * Directories of a check-out under way. Threads work on different parts of the tree, so one may need a directory that
 * another has not made yet: whoever comes first makes it.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { asBuffer, joinPath, parentPath, splitPath } from '../path-bytes.ts'

const PRIVATE = 0o700

/** @throws MirrorError `unsupported` when the file system takes its name for another one that is there */
export function makeDirectory(staging: Uint8Array, below: Uint8Array): void {
  const path = joinPath(staging, below)
  try {
    withParents(staging, below, () => fs.mkdirSync(path, { mode: PRIVATE }))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    // Made for something below it; or another name of the tree, where the file system ignores case.
    const { dir, name } = splitPath(path)
    const names = fs.readdirSync(dir, { encoding: 'latin1' })
    if (!names.includes(name.toString('latin1')) || !fs.lstatSync(path).isDirectory()) {
      throw alreadyThere(below, error)
    }
  }
}

export function alreadyThere(below: Uint8Array, cause: unknown): MirrorError {
  return new MirrorError('unsupported', `"${printableName(below)}" already exists in an empty check-out`, {
    hint: 'The file system takes two names of the tree for one, for example because it ignores case: check out to another.',
    cause,
  })
}

/** Runs `make`, which makes something at `below`; once more when its directory was missing. */
export function withParents<T>(staging: Uint8Array, below: Uint8Array, make: () => T): T {
  try {
    return make()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    makeParents(staging, below)
    return make()
  }
}

export function makeParents(staging: Uint8Array, below: Uint8Array): void {
  const missing: Buffer[] = []
  for (let at = parentPath(below); at.length > 0; at = parentPath(at)) {
    const path = joinPath(asBuffer(staging), at)
    if (fs.lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) break
    missing.push(path)
  }
  for (const path of missing.reverse()) {
    try {
      fs.mkdirSync(path, { mode: PRIVATE })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}
