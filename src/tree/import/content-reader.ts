/**
 * Reads files straight into the chunker's window, cuts and hashes them. The window has two lanes: while the main
 * thread looks up the blocks of one, the other is filled. Small files share a lane; a large one streams through both.
 *
 * A file counts as read when its inode, size, mtime and ctime after the read are those from before it; else it is read
 * again, TRIES times in all, with its extended attributes. Never reads past the size that the file had, so a growing
 * log ends.
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
import { createHoleCollector } from '../../dag/holes.ts'
import { eachHole } from '../../posix/holes.ts'
import { errnoError } from '../../posix/libc.ts'
import { reasonOf } from '../reason.ts'
import { inodeOf, mtimeNsOf } from '../spool/inode.ts'
import type { ReadHeader } from '../spool/read-results.ts'
import { encodeReadHeader, READ_HEADER_BYTES, writePart, writeReadExtras } from '../spool/read-results.ts'
import type { RecordWriter } from '../spool/record-bytes.ts'
import type { Inode, SpoolRecord } from '../spool/spool.ts'
import { captureXattrs } from '../spool/xattr-records.ts'
import type { BlockRun, BlockSink } from './block-sink.ts'
import { sharedBlocks } from './block-sink.ts'

const TRIES = 3
const LANE_BYTES = 4 * 1024 * 1024
/** A processor's own cache holds it until it is cut and hashed: 8 % less CPU than whole lanes (measured). */
const READ_BYTES = 512 * 1024
const BLOCKS_PER_RUN = 4096
/** Equal chunks in the holes of one file: 16 TiB of holes by default. */
const MAX_HOLE_CHUNKS = 2 ** 25

export type FileRecord = Extract<SpoolRecord, { kind: 'file' }>

export interface ContentReader {
  /** Writes one result, and returns its header. @param locate gives the path; it may throw as open does */
  read(locate: () => Buffer, record: FileRecord): ReadHeader
  /** Offers what the lane holds; results do not wait for it. */
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

interface Seen {
  readonly inode: Inode
  readonly sizeBytes: number
  readonly ino: bigint
  readonly ctimeNs: bigint
}

export function createContentReader(
  { sink, results }: { sink: BlockSink; results: RecordWriter },
  {
    chunker: params,
    onBytes,
    openFile = openRegular,
  }: { chunker: ChunkerParams; onBytes?: (bytes: number) => void; openFile?: (path: Buffer) => number },
): ContentReader {
  const laneBytes = Math.max(LANE_BYTES, 2 * params.maxBytes)
  const chunker = createChunker(params, { capacityBytes: 2 * laneBytes })
  const window = chunker.buffer
  const lanes = [createLane(0, laneBytes), createLane(laneBytes, laneBytes)] as const
  let lane: Lane = lanes[0]
  /** Window positions: the end of what was read, and of what was cut. */
  let filled = lane.base
  let cut = lane.base
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
    window.copyWithin(lane.base, cut, filled)
    filled = lane.base + (filled - cut)
    cut = lane.base
    flips += 1
  }

  function take(length: number, repeats: number): void {
    const digest = blake3.digest(window.subarray(cut, cut + length))
    const at = lane.count * CID_KEY_BYTES
    lane.keys[at] = RAW
    lane.keys.set(digest, at + 1)
    lane.lengths[lane.count] = length
    lane.starts[lane.count] = cut
    lane.count += 1
    cut += length
    writePart(results, digest, length, repeats)
  }

  /**
   * Chunks of zeros, the first of which starts `spanBytes` before the end of a hole: as many as lie in the hole
   * wherever their cuts could be, which is the reach of the largest chunk. Returns the bytes taken.
   */
  function takeZeros(spanBytes: number): number {
    // What was read of the hole already are zeros too.
    filled = cut
    if (lane.end - cut < params.maxBytes || lane.count === BLOCKS_PER_RUN) flip()
    window.fill(0, cut, cut + params.maxBytes)
    const length = chunker.nextCut(cut, cut + params.maxBytes, false)
    const repeats = Math.floor((spanBytes - params.maxBytes) / length) + 1
    if (repeats > MAX_HOLE_CHUNKS) throw errnoError(constants.errno.EFBIG, 'read')
    take(length, repeats)
    filled = cut
    return repeats * length
  }

  /** Returns the runs of chunks and the bytes that were read: fewer than `sizeBytes` when the file has shrunk. */
  function readContent(
    fd: number,
    sizeBytes: number,
    holes: readonly number[],
  ): { parts: number; bytes: number } {
    let end = sizeBytes
    let bytes = 0
    let parts = 0
    let hole = 0
    while (bytes < end) {
      const start = bytes - (filled - cut)
      while (hole < holes.length && holes[hole]! + holes[hole + 1]! <= start) hole += 2
      const spanBytes =
        hole < holes.length && holes[hole]! <= start ? holes[hole]! + holes[hole + 1]! - start : 0
      if (spanBytes >= params.maxBytes) {
        const taken = takeZeros(spanBytes)
        onBytes?.(start + taken - bytes)
        bytes = start + taken
        parts += 1
        continue
      }
      if (filled === lane.end || lane.count === BLOCKS_PER_RUN) flip()
      const wanted = Math.min(end - bytes, lane.end - filled, READ_BYTES)
      const count = fs.readSync(fd, window, filled, wanted, bytes)
      filled += count
      bytes += count
      if (count === 0) end = bytes
      while (cut < filled && (bytes === end || filled - cut >= params.maxBytes)) {
        if (lane.count === BLOCKS_PER_RUN) flip()
        take(chunker.nextCut(cut, filled, bytes === end), 1)
        parts += 1
      }
      onBytes?.(count)
    }
    return { parts, bytes }
  }

  /** Where the file has holes, and its attributes if they have to be read again; written after the header. */
  function readExtras(
    fd: number,
    sizeBytes: number,
    isAgain: boolean,
  ): { written: Pick<ReadHeader, 'extras' | 'extrasBytes'>; holes: readonly number[] } {
    const collector = createHoleCollector(sizeBytes)
    eachHole(fd, sizeBytes, collector.add)
    const { holes, dropped } = collector.finish()
    let note = dropped === 0 ? undefined : `its ${dropped} smallest holes are captured as zeros`
    const xattrs = isAgain
      ? captureXattrs(fd, (reason) => {
          note = reason
        })
      : undefined
    const written = writeReadExtras(results, {
      holes,
      ...(xattrs === undefined ? {} : { xattrs }),
      ...(note === undefined ? {} : { note }),
    })
    return { written, holes }
  }

  function attempt(locate: () => Buffer, known: Seen | undefined): { header: ReadHeader; isStable: boolean } {
    const fd = openFile(locate())
    try {
      // A device or a fifo that has taken the name must not be read: that may change what it stands for.
      if (!fs.fstatSync(fd).isFile()) throw errnoError(constants.errno.ENOENT, 'read')
      const before = known ?? seenOf(fs.fstatSync(fd, { bigint: true }))
      const { written, holes } = readExtras(fd, before.sizeBytes, known === undefined)
      const { parts, bytes } = readContent(fd, before.sizeBytes, holes)
      const after = fs.fstatSync(fd, { bigint: true })
      const isStable = bytes === before.sizeBytes && isSame(before, seenOf(after))
      return {
        header: { status: 'captured', ...written, sizeBytes: bytes, inode: before.inode, errno: '', parts },
        isStable,
      }
    } finally {
      fs.closeSync(fd)
    }
  }

  function read(locate: () => Buffer, record: FileRecord): ReadHeader {
    const headerAt = results.position
    // Rather a lane that is not quite full than a small file in two pieces.
    if (lane.end - filled < Math.min(record.sizeBytes, params.maxBytes)) flip()
    let header: ReadHeader
    for (let tries = 1; ; tries++) {
      const mark = { flips, filled, count: lane.count }
      results.rewind(headerAt)
      results.bytes(new Uint8Array(READ_HEADER_BYTES))
      try {
        const outcome = attempt(locate, tries === 1 ? record : undefined)
        header = outcome.isStable ? outcome.header : { ...outcome.header, status: 'unstable' }
      } catch (error) {
        reasonOf(error) // a defect flies on
        const errno = (error as NodeJS.ErrnoException).code ?? ''
        header = {
          status: 'failed',
          extras: 0,
          extrasBytes: 0,
          sizeBytes: 0,
          inode: record.inode,
          errno,
          parts: 0,
        }
      }
      if (header.status === 'captured') break
      // What was read is forgotten, as far as it has not been offered: a block too many in the store does no harm.
      if (header.status === 'failed' || tries < TRIES) {
        if (mark.flips === flips) lane.count = mark.count
        filled = mark.flips === flips ? mark.filled : filled
        cut = filled
      }
      if (header.status === 'failed') {
        results.rewind(headerAt + READ_HEADER_BYTES)
        break
      }
      if (tries === TRIES) break
    }
    results.patch(headerAt, encodeReadHeader(header))
    return header
  }

  return {
    read,
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

/** Never follows a link; NONBLOCK so that a fifo put there meanwhile cannot hold the thread. */
function openRegular(path: Buffer): number {
  return fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
}

function seenOf(stat: fs.BigIntStats): Seen {
  return { inode: inodeOf(stat), sizeBytes: Number(stat.size), ino: stat.ino, ctimeNs: stat.ctimeNs }
}

function isSame(a: Seen, b: Seen): boolean {
  return (
    a.ino === b.ino &&
    a.sizeBytes === b.sizeBytes &&
    a.ctimeNs === b.ctimeNs &&
    mtimeNsOf(a.inode) === mtimeNsOf(b.inode)
  )
}
