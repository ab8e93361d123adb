/**
 * Cuts ranges of open files and offers the chunks as blocks. Files are read straight into the chunker's window, which has
 * two lanes: while the main thread looks up the blocks of one, the other is filled. Small files share a lane; a large one
 * streams through both.
 *
 * Where a chunk ends depends on the file and on where the chunk starts, and on nothing else: from one cut on, all cuts are
 * the same wherever the cutting began.
 *
 * Holes are neither read nor hashed: where the next chunk cannot reach out of a hole, it and those after it are one
 * chunk of zeros, over and over.
 */
import fs from 'node:fs'
import { constants } from 'node:os'
import type { ChunkerParams } from '../../block/chunker.ts'
import { createChunker } from '../../block/chunker.ts'
import { CID_KEY_BYTES, RAW } from '../../block/cid.ts'
import { blake3 } from '../../block/hash.ts'
import { errnoError } from '../../posix/libc.ts'
import { readAhead } from '../../posix/read-ahead.ts'
import { writePart } from '../spool/read-results.ts'
import type { RecordWriter } from '../spool/record-bytes.ts'
import type { BlockRun, BlockSink } from './block-sink.ts'
import { sharedBlocks } from './block-sink.ts'

const LANE_BYTES = 4 * 1024 * 1024
/** A processor's own cache holds it until it is cut and hashed: 8 % less CPU than whole lanes (measured). */
const READ_BYTES = 512 * 1024
/** So much of a large file is on its way while the thread cuts and hashes. */
const AHEAD_BYTES = 4 * 1024 * 1024
const BLOCKS_PER_RUN = 4096
/** Equal chunks in the holes of one file: 16 TiB of holes by default. */
const MAX_HOLE_CHUNKS = 2 ** 25

export interface OpenContent {
  readonly fd: number
  readonly sizeBytes: number
  /** Offset and length by turns, normalised. */
  readonly holes: readonly number[]
}

export interface CutOptions {
  /** A cut, or any place to begin from; by default the start of the file. */
  readonly startByte?: number
  /** The first cut here or later is the last; by default the end of the file. */
  readonly stopByte?: number
  /** Asked at each cut, and it is the last when it answers true. */
  readonly isLast?: (cutByte: number) => boolean
  /** Takes the runs of chunks (read-results.ts). Without it the cuts are found, and nothing is hashed or offered. */
  readonly out?: RecordWriter
  readonly onBytes?: ((bytes: number) => void) | undefined
}

export interface CutResult {
  /** Runs of chunks. */
  readonly parts: number
  /** The last cut: in a file that has shrunk, its end. */
  readonly endByte: number
  readonly hasShrunk: boolean
}

/** What was taken so far. */
export interface CutterMark {
  readonly flips: number
  readonly filled: number
  readonly count: number
}

export interface ContentCutter {
  cut(content: OpenContent, options: CutOptions): CutResult
  /** Rather a lane that is not quite full than a small file in two pieces. */
  makeRoom(sizeBytes: number): void
  mark(): CutterMark
  /** What was taken since is forgotten, as far as it has not been offered: a block too many in the store does no harm. */
  forget(mark: CutterMark): void
  /** Offers what the lane holds. */
  flush(): void
  /** Everything wanted is stored. */
  finish(): void
}

interface Lane {
  readonly base: number
  readonly end: number
  readonly keys: BlockRun['keys']
  readonly lengths: BlockRun['lengths']
  readonly starts: Uint32Array
  count: number
  settle: () => void
}

export function createContentCutter({ sink }: { sink: BlockSink }, params: ChunkerParams): ContentCutter {
  const laneBytes = Math.max(LANE_BYTES, 2 * params.maxBytes)
  const chunker = createChunker(params, { capacityBytes: 2 * laneBytes })
  const window = chunker.buffer
  const lanes = [createLane(0, laneBytes), createLane(laneBytes, laneBytes)] as const
  let lane: Lane = lanes[0]
  /** Window positions: the end of what was read, and of what was cut. */
  let filled = lane.base
  let cutAt = lane.base
  let flips = 0

  /** Offers this lane's blocks and goes on in the other, taking along what is not cut yet. */
  function flip(): void {
    const full = lane
    full.settle = sink.offer({
      count: full.count,
      keys: full.keys,
      lengths: full.lengths,
      bytesOf: (index) => window.subarray(full.starts[index]!, full.starts[index]! + full.lengths[index]!),
    })
    lane = full === lanes[0] ? lanes[1] : lanes[0]
    lane.settle()
    lane.settle = () => undefined
    lane.count = 0
    window.copyWithin(lane.base, cutAt, filled)
    filled = lane.base + (filled - cutAt)
    cutAt = lane.base
    flips += 1
  }

  function take(length: number, repeats: number, out: RecordWriter | undefined): void {
    if (out !== undefined) {
      const digest = blake3.digest(window.subarray(cutAt, cutAt + length))
      const at = lane.count * CID_KEY_BYTES
      lane.keys[at] = RAW
      lane.keys.set(digest, at + 1)
      lane.lengths[lane.count] = length
      lane.starts[lane.count] = cutAt
      lane.count += 1
      writePart(out, digest, length, repeats)
    }
    cutAt += length
  }

  /**
   * Chunks of zeros, the first of which starts `spanBytes` before the end of a hole: as many as lie in the hole
   * wherever their cuts could be, which is the reach of the largest chunk. Returns the bytes taken.
   */
  function takeZeros(spanBytes: number, out: RecordWriter | undefined): number {
    // What was read of the hole already are zeros too.
    filled = cutAt
    if (lane.end - cutAt < params.maxBytes || lane.count === BLOCKS_PER_RUN) flip()
    window.fill(0, cutAt, cutAt + params.maxBytes)
    const length = chunker.nextCut(cutAt, cutAt + params.maxBytes, false)
    const repeats = Math.floor((spanBytes - params.maxBytes) / length) + 1
    if (repeats > MAX_HOLE_CHUNKS) throw errnoError(constants.errno.EFBIG, 'read')
    take(length, repeats, out)
    filled = cutAt
    return repeats * length
  }

  function cut(
    { fd, sizeBytes, holes }: OpenContent,
    { startByte = 0, stopByte = sizeBytes, isLast, out, onBytes }: CutOptions,
  ): CutResult {
    // A chunk that starts before the stop is decided by so much.
    const readEnd = Math.min(sizeBytes, stopByte + params.maxBytes)
    let end = sizeBytes
    let bytes = startByte
    let parts = 0
    let hole = 0
    let isStopped = false
    let askedByte = startByte
    // What another range has left uncut.
    filled = cutAt

    function hasStopped(): boolean {
      const cutByte = bytes - (filled - cutAt)
      isStopped = cutByte >= stopByte || (isLast?.(cutByte) ?? false)
      return isStopped
    }

    function askAhead(): void {
      if (readEnd - startByte <= READ_BYTES || askedByte >= Math.min(readEnd, bytes + AHEAD_BYTES)) return
      const from = Math.max(askedByte, bytes)
      const nextHole = holes[hole] ?? readEnd
      askedByte = Math.min(readEnd, from + AHEAD_BYTES, nextHole > from ? nextHole : readEnd)
      readAhead(fd, from, askedByte - from)
    }

    while (bytes < Math.min(end, readEnd) && !isStopped) {
      const start = bytes - (filled - cutAt)
      while (hole < holes.length && holes[hole]! + holes[hole + 1]! <= start) hole += 2
      const spanBytes =
        hole < holes.length && holes[hole]! <= start ? holes[hole]! + holes[hole + 1]! - start : 0
      if (spanBytes >= params.maxBytes) {
        const taken = takeZeros(spanBytes, out)
        onBytes?.(start + taken - bytes)
        bytes = start + taken
        parts += 1
        hasStopped()
        continue
      }
      if (filled === lane.end || lane.count === BLOCKS_PER_RUN) flip()
      askAhead()
      const wanted = Math.min(readEnd - bytes, lane.end - filled, READ_BYTES)
      const count = fs.readSync(fd, window, filled, wanted, bytes)
      filled += count
      bytes += count
      if (count === 0) end = bytes
      while (cutAt < filled && (bytes === end || filled - cutAt >= params.maxBytes)) {
        if (lane.count === BLOCKS_PER_RUN) flip()
        take(chunker.nextCut(cutAt, filled, bytes === end), 1, out)
        parts += 1
        if (hasStopped()) break
      }
      onBytes?.(count)
    }
    const endByte = bytes - (filled - cutAt)
    filled = cutAt
    return { parts, endByte, hasShrunk: end < sizeBytes }
  }

  return {
    cut,
    makeRoom(sizeBytes) {
      if (lane.end - filled < Math.min(sizeBytes, params.maxBytes)) flip()
    },
    mark: () => ({ flips, filled, count: lane.count }),
    forget(mark) {
      if (mark.flips === flips) {
        lane.count = mark.count
        filled = mark.filled
      }
      cutAt = filled
    },
    flush: flip,
    finish() {
      flip()
      for (const each of lanes) {
        each.settle()
        each.settle = () => undefined
      }
    },
  }
}

function createLane(base: number, sizeBytes: number): Lane {
  return {
    base,
    end: base + sizeBytes,
    ...sharedBlocks(BLOCKS_PER_RUN),
    starts: new Uint32Array(BLOCKS_PER_RUN),
    count: 0,
    settle: () => undefined,
  }
}
