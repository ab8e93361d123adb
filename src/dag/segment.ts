/**
 * Segments: fixed runs of a page's blocks, the unit that one site takes responsibility for. They follow from the
 * page alone, so every site computes the same ones.
 */
import type { Cid } from '../block/cid.ts'
import type { IndexPage } from './block-index.ts'

export interface Segment {
  readonly page: Cid
  readonly firstBlock: number
  /** One past the last. */
  readonly endBlock: number
  /** Plain bytes of its blocks. */
  readonly sizeBytes: number
}

/** A segment is closed once it has this much. */
const ENOUGH_BYTES = 1024 * 1024
/** Before a block that would take it over this; only a single block can be larger. */
const MAX_SEGMENT_BYTES = 2 * 1024 * 1024
/** A page's last segment joins the one before when it has less than this and both fit. */
const SMALL_BYTES = 512 * 1024

/** Covers every block of the page once, in order. A page of few bytes is one segment, an empty page none. */
export function segmentsOf(page: IndexPage): readonly Segment[] {
  const segments: Segment[] = []
  let firstBlock = 0
  let sizeBytes = 0
  const close = (endBlock: number): void => {
    segments.push({ page: page.cid, firstBlock, endBlock, sizeBytes })
    firstBlock = endBlock
    sizeBytes = 0
  }
  for (const [i, { lengthBytes }] of page.blocks.entries()) {
    if (i > firstBlock && sizeBytes + lengthBytes > MAX_SEGMENT_BYTES) close(i)
    sizeBytes += lengthBytes
    if (sizeBytes >= ENOUGH_BYTES) close(i + 1)
  }
  if (firstBlock < page.blocks.length) close(page.blocks.length)
  const last = segments.at(-1)
  const before = segments.at(-2)
  if (
    last !== undefined &&
    before !== undefined &&
    last.sizeBytes < SMALL_BYTES &&
    before.sizeBytes + last.sizeBytes <= MAX_SEGMENT_BYTES
  ) {
    segments.splice(-2, 2, {
      page: page.cid,
      firstBlock: before.firstBlock,
      endBlock: last.endBlock,
      sizeBytes: before.sizeBytes + last.sizeBytes,
    })
  }
  return segments
}
