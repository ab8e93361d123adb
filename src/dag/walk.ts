import type { Entry } from './entry.ts'
import type { NodeSource } from './source.ts'

export interface WalkStep {
  /** Names from below the root; empty for the root itself, which comes first. */
  readonly path: readonly Uint8Array[]
  readonly entry: Entry
}

/** Every entry, a directory before what it holds, names in byte order. */
export function walk(_source: NodeSource, _root: Entry, _signal?: AbortSignal): AsyncIterable<WalkStep> {
  throw new Error('not written yet')
}
