/** The digests of all kept records, rising. New ones are sorted by themselves and merged when somebody asks. */
import { compareBytes } from '../../base/bytes.ts'

export interface SortedIds {
  add(digest: Uint8Array): void
  /** Do not change it; the next `add` may leave it behind. */
  list(): readonly Uint8Array[]
}

export function createSortedIds(): SortedIds {
  let sorted: Uint8Array[] = []
  let fresh: Uint8Array[] = []
  return {
    add: (digest) => {
      fresh.push(digest)
    },
    list() {
      if (fresh.length === 0) return sorted
      sorted = merge(sorted, fresh.sort(compareBytes))
      fresh = []
      return sorted
    },
  }
}

function merge(a: readonly Uint8Array[], b: readonly Uint8Array[]): Uint8Array[] {
  const merged: Uint8Array[] = []
  let i = 0
  for (const item of b) {
    while (i < a.length && compareBytes(a[i]!, item) < 0) merged.push(a[i++]!)
    merged.push(item)
  }
  while (i < a.length) merged.push(a[i++]!)
  return merged
}
