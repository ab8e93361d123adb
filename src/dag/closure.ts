import type { Cid } from '../block/cid.ts'
import type { Entry } from './entry.ts'
import type { NodeSource } from './source.ts'

export interface ClosureBlock {
  readonly cid: Cid
  readonly lengthBytes: number
}

/**
 * Every block reachable from `root`, repeats included, in the order of the block index: each directory's entries in
 * name order, what an entry reaches before what follows it; a file's chunks before the node that lists them; a
 * directory's own nodes after all of its entries, in the order `buildDirectory` emits them.
 */
export function closure(
  _source: NodeSource,
  _root: Entry,
  _signal?: AbortSignal,
): AsyncIterable<ClosureBlock> {
  throw new Error('not written yet')
}
