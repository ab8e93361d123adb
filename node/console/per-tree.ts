/**
 * What follows from one tree is worked out once, and again when the tree has changed: the stream replaces those that
 * did and leaves the others as they are, so an update of a few costs nothing for the thousands. Ages count too, roughly.
 */
import type { TreeStatus } from '../../src/replica/status/status.ts'

const GOOD_FOR_MS = 20_000

/** `key` is what else it depends on. */
export function perTree<T>(
  compute: (tree: TreeStatus, nowMs: number, key: string) => T,
): (tree: TreeStatus, nowMs: number, key?: string) => T {
  const known = new WeakMap<TreeStatus, { readonly atMs: number; readonly key: string; readonly value: T }>()
  return (tree, nowMs, key = '') => {
    const found = known.get(tree)
    if (found !== undefined && found.key === key && Math.abs(nowMs - found.atMs) < GOOD_FOR_MS)
      return found.value
    const value = compute(tree, nowMs, key)
    known.set(tree, { atMs: nowMs, key, value })
    return value
  }
}
