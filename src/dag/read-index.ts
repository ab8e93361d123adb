import type { Cid } from '../block/cid.ts'
import type { IndexPage, PageRef } from './block-index.ts'
import type { NodeSource } from './source.ts'

/** The pages of an index in order. */
export function listPages(
  _source: NodeSource,
  _indexRoot: Cid,
  _signal?: AbortSignal,
): AsyncIterable<PageRef> {
  throw new Error('not written yet')
}

export function readPage(_source: NodeSource, _cid: Cid, _signal?: AbortSignal): Promise<IndexPage> {
  throw new Error('not written yet')
}
