import type { Entry } from './entry.ts'
import type { NodeSource } from './source.ts'

export interface Change {
  readonly path: readonly Uint8Array[]
  readonly before?: Entry
  readonly after?: Entry
  /** `type`: it became another type of entry; what lay below a directory follows as removed or added. */
  readonly change: 'added' | 'removed' | 'changed' | 'type'
  /** Bytes of a file or a symlink's target differ. Never true for a directory that stayed one: its entries speak. */
  readonly content: boolean
  /** Mode, time, owner or hard-link group differ. */
  readonly metadata: boolean
}

/** What changed from `before` to `after`, in walk order; equal subtrees are skipped by CID, unread. */
export function diff(
  _source: NodeSource,
  _before: Entry | undefined,
  _after: Entry | undefined,
  _signal?: AbortSignal,
): AsyncIterable<Change> {
  throw new Error('not written yet')
}
