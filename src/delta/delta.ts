/**
 * A delta: one zstd frame over the bytes of a run of a snapshot's blocks (the targets), whose dictionary is the bytes of a
 * window of an older snapshot's blocks (the base). It travels and rests as an ordinary raw block; what is made of it is
 * known by the targets' own CIDs.
 *
 * Blocks are named by their positions in a snapshot's whole block index. At most one deep: the base's blocks are plain.
 */
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { BlockRange, DeltaEntry } from '../dag/encodings.ts'

export type { BlockRange, DeltaEntry } from '../dag/encodings.ts'
export { MAX_DELTA_BLOCKS, MAX_DELTA_RANGES } from '../dag/limits.ts'

export interface MadeDelta extends DeltaEntry {
  /** The frame. */
  readonly bytes: Uint8Array
  /** Of the targets. */
  readonly plainBytes: number
  /** What the targets take when each is compressed by itself, or left plain where that does not pay. */
  readonly zstdBytes: number
}

/** Of the targets of one delta, all together: decoding gives no more. */
export const MAX_TARGET_BYTES = 4 * 1024 * 1024
/** Of a window. */
export const MAX_WINDOW_BYTES = 4 * 1024 * 1024
/** Of a frame: it is a block. */
export const MAX_FRAME_BYTES = MAX_BLOCK_BYTES

export function countBlocks(ranges: readonly BlockRange[]): number {
  let count = 0
  for (const range of ranges) count += range.count
  return count
}

/** Of one set: who follows it holds them all in memory. Of 1 MiB each, they give 256 GiB. */
export const MAX_SET_DELTAS = 256 * 1024
