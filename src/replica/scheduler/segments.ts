/**
 * Cuts an index page into segments: the runs of neighbouring blocks that one site of a region takes responsibility
 * for. Every site computes the same cuts, from the page and the snapshot's total alone.
 *
 * Large snapshots use the segments' full size; in a small one the segments shrink, down to single blocks, so that even
 * ten blocks are shared between the sites of a region (docs/decisions/0004-small-segments.md).
 */

export const MAX_SEGMENT_BYTES = 1024 * 1024
/** A snapshot has about this many segments before they reach their full size. */
const SEGMENTS_OF_SMALL_SNAPSHOT = 1024

/** Where one segment lies in its page. */
export interface SegmentRange {
  readonly firstBlock: number
  /** One past the last. */
  readonly endBlock: number
  readonly sizeBytes: number
}

/** @param snapshotBytes plain bytes of all blocks of the snapshot */
export function segmentTargetBytes(snapshotBytes: number): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.ceil(snapshotBytes / SEGMENTS_OF_SMALL_SNAPSHOT))
}

/** Runs of blocks, each ended by the block that reaches `targetBytes`. */
export function cutSegments(lengths: readonly number[], targetBytes: number): SegmentRange[] {
  const segments: SegmentRange[] = []
  let firstBlock = 0
  let sizeBytes = 0
  for (const [offset, length] of lengths.entries()) {
    sizeBytes += length
    if (sizeBytes < targetBytes && offset + 1 < lengths.length) continue
    segments.push({ firstBlock, endBlock: offset + 1, sizeBytes })
    firstBlock = offset + 1
    sizeBytes = 0
  }
  return segments
}
