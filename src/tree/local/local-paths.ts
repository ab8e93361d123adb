/**
 * Paths of a check-out that belong to its users: they stay as they are, whatever the snapshot has there. Pure.
 * What the snapshot would have put at such a path, or in the way of one, is noted.
 */
import type { Entry } from '../../dag/entry.ts'
import { asBuffer, parentPath } from '../path-bytes.ts'

export interface LocalPaths {
  /** None is below another. */
  readonly paths: readonly Buffer[]
  /** Whether an entry of the snapshot must not be written. */
  covers(path: Uint8Array, type: Entry['type']): boolean
  /** The same; what must not be is noted. */
  wins(path: Uint8Array, type: Entry['type']): boolean
  /** Whether some of what is in this directory is the users' own, or what leads to it. */
  leadsTo(directory: Uint8Array): boolean
  /** Entries of the snapshot that were not written: the topmost of each. */
  readonly overridden: readonly Buffer[]
}

export function createLocalPaths(given: readonly Uint8Array[]): LocalPaths {
  const all = new Set(given.map(keyOf))
  const paths = given.map(asBuffer).filter((path) => !hasAncestorIn(path, all))
  const kept = new Set(paths.map(keyOf))
  const above = new Set<string>()
  for (const path of paths) {
    for (let at = parentPath(path); at.length > 0; at = parentPath(at)) above.add(keyOf(at))
  }
  const overridden: Buffer[] = []

  function isTopmost(path: Uint8Array, type: Entry['type']): boolean {
    if (kept.size === 0) return false
    const key = keyOf(path)
    return kept.has(key) || (type !== 'directory' && above.has(key))
  }

  return {
    paths,
    overridden,
    leadsTo: (directory) => paths.length > 0 && (directory.length === 0 || above.has(keyOf(directory))),
    covers: (path, type) => isTopmost(path, type) || (kept.size > 0 && hasAncestorIn(path, kept)),
    wins(path, type) {
      if (kept.size === 0) return false
      if (isTopmost(path, type)) {
        overridden.push(Buffer.from(path))
        return true
      }
      return hasAncestorIn(path, kept)
    },
  }
}

function hasAncestorIn(path: Uint8Array, set: ReadonlySet<string>): boolean {
  for (let at = parentPath(path); at.length > 0; at = parentPath(at)) if (set.has(keyOf(at))) return true
  return false
}

function keyOf(path: Uint8Array): string {
  return asBuffer(path).toString('latin1')
}
