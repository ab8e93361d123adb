import type { Cid } from '../block/cid.ts'
import type { Entry } from './entry.ts'
import type { NodeSource } from './source.ts'

/** The entries of one directory in name order, from the first name greater than `after`. */
export function readDirectory(
  _source: NodeSource,
  _cid: Cid,
  _options: { after?: Uint8Array; signal?: AbortSignal } = {},
): AsyncIterable<Entry> {
  throw new Error('not written yet')
}

/** The entry at `path` below `root`, symbolic links not followed; reads a handful of blocks. */
export function lookUp(
  _source: NodeSource,
  _root: Entry,
  _path: readonly Uint8Array[],
  _signal?: AbortSignal,
): Promise<Entry | undefined> {
  throw new Error('not written yet')
}
