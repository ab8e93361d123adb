import type { Cid } from '../block/cid.ts'
import type { IndexPage } from './block-index.ts'

export interface Segment {
  readonly page: Cid
  readonly firstBlock: number
  /** One past the last. */
  readonly endBlock: number
  readonly sizeBytes: number
}

export function segmentsOf(_page: IndexPage): readonly Segment[] {
  throw new Error('not written yet')
}
