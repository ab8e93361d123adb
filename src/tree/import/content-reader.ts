/**
 * Reads files for an import: cuts and hashes them, and writes what it found as results (read-results.ts).
 *
 * A file counts as read when its inode, size, mtime and ctime after the read are those from before it; else it is read
 * again, TRIES times in all, with its extended attributes. Never reads past the size that the file had, so a growing
 * log ends.
 *
 * A file that is small enough is no chunk: what was read of it goes with its result.
 *
 * A large file is shared with the threads that have nothing else to read (file-spans.ts), the first time that it is read:
 * one that changed meanwhile is nobody else's.
 */
import fs from 'node:fs'
import { constants } from 'node:os'
import { MirrorError } from '../../base/errors.ts'
import type { ChunkerParams } from '../../block/chunker.ts'
import { createHoleCollector } from '../../dag/holes.ts'
import { eachHole } from '../../posix/holes.ts'
import { errnoError } from '../../posix/libc.ts'
import { reasonOf } from '../reason.ts'
import { inodeOf, mtimeNsOf } from '../spool/inode.ts'
import type { ReadExtras, ReadHeader } from '../spool/read-results.ts'
import { encodeReadHeader, READ_HEADER_BYTES, writeReadExtras } from '../spool/read-results.ts'
import type { RecordWriter } from '../spool/record-bytes.ts'
import type { Inode, SpoolRecord } from '../spool/spool.ts'
import { captureXattrs } from '../spool/xattr-records.ts'
import type { BlockSink } from './block-sink.ts'
import type { CutResult, OpenContent } from './content-cutter.ts'
import { createContentCutter } from './content-cutter.ts'
import type { SharedFile, SpanReport } from './file-spans.ts'
import { joinSpans, spanStarts } from './file-spans.ts'
import type { SpanRecords } from './span-cutter.ts'
import { cutSpans, stopSharing } from './span-cutter.ts'

const TRIES = 3
export type FileRecord = Extract<SpoolRecord, { kind: 'file' }>

export interface ContentReader {
  /** Writes one result, and returns its header. @param locate gives the path; it may throw as open does */
  read(locate: () => Buffer, record: FileRecord): ReadHeader
  /** Takes part in the reading of a large file that another reader shares. */
  help(file: SharedFile): SpanReport
  /** Offers what the lane holds; results do not wait for it. */
  flush(): void
  /** Everything wanted is stored. */
  finish(): void
}

interface Seen {
  readonly inode: Inode
  readonly sizeBytes: number
  readonly ino: bigint
  readonly ctimeNs: bigint
}

/** How a large file is shared with other threads. */
export interface Sharing {
  /** So much of a file is one thread's at a time. A file of less than two spans is not shared. */
  readonly spanBytes: number
  readonly isStored: boolean
  readonly records: SpanRecords
  /** Asks others to help. The returned function waits until all that do have ended, and says what they found. */
  share(file: SharedFile): () => readonly SpanReport[]
}

export function createContentReader(
  { sink, results }: { sink: BlockSink; results: RecordWriter },
  {
    chunker,
    onBytes,
    openFile = openRegular,
    sharing,
  }: {
    chunker: ChunkerParams
    onBytes?: (bytes: number) => void
    openFile?: (path: Buffer) => number
    sharing?: Sharing
  },
): ContentReader {
  const cutter = createContentCutter({ sink }, chunker)
  const { inlineBytes = 0 } = chunker
  const small = Buffer.allocUnsafeSlow(inlineBytes)

  function readContent(content: OpenContent, isFirstTry: boolean): CutResult {
    const starts =
      sharing === undefined || !isFirstTry
        ? []
        : spanStarts(content.sizeBytes, content.holes, sharing.spanBytes)
    if (sharing === undefined || starts.length < 2) return cutter.cut(content, { out: results, onBytes })
    return readShared(content, starts, sharing)
  }

  function readShared(
    content: OpenContent,
    starts: readonly number[],
    { isStored, records, share }: Sharing,
  ): CutResult {
    const taken = new Int32Array(new SharedArrayBuffer(4))
    const file: SharedFile = { ...content, isStored, starts, taken }
    const gather = share(file)
    let found: SpanReport
    let others: readonly SpanReport[]
    try {
      found = cutSpans({ cutter, records }, file, { avgBytes: chunker.avgBytes, onBytes })
    } finally {
      // Nobody reads from this descriptor any more when it is closed.
      stopSharing(file)
      others = gather()
    }
    const reports = [found, ...others]
    const errno = reports.find((report) => report.errno !== undefined)?.errno
    if (errno !== undefined) throw Object.assign(new Error(`${errno}: read`), { code: errno })
    const spans = reports.flatMap((report) => report.spans).sort((one, other) => one.index - other.index)
    if (reports.some(({ hasShrunk }) => hasShrunk)) return { parts: 0, endByte: 0, hasShrunk: true }
    if (spans.length !== starts.length)
      throw new MirrorError('internal', `${spans.length} of ${starts.length} spans of a file were read`)
    const joined = joinSpans(spans, content.sizeBytes, results, (startByte, isLast) =>
      cutter.cut(content, { startByte, isLast, out: results }),
    )
    return { ...joined, hasShrunk: joined.endByte < content.sizeBytes }
  }

  /** Where the file has holes, and its attributes if they have to be read again. */
  function readExtras(
    fd: number,
    sizeBytes: number,
    isAgain: boolean,
  ): Required<Pick<ReadExtras, 'holes'>> & ReadExtras {
    const collector = createHoleCollector(sizeBytes)
    eachHole(fd, sizeBytes, collector.add)
    const { holes, dropped } = collector.finish()
    let note = dropped === 0 ? undefined : `its ${dropped} smallest holes are captured as zeros`
    const xattrs = isAgain
      ? captureXattrs(fd, (reason) => {
          note = reason
        })
      : undefined
    return {
      holes,
      ...(xattrs === undefined ? {} : { xattrs }),
      ...(note === undefined ? {} : { note }),
    }
  }

  /** The content of a file of up to `inlineBytes`: less than its size when it has shrunk. */
  function readSmall(fd: number, sizeBytes: number): Uint8Array {
    let filled = 0
    while (filled < sizeBytes) {
      const count = fs.readSync(fd, small, filled, sizeBytes - filled, filled)
      if (count === 0) break
      filled += count
    }
    onBytes?.(filled)
    return small.subarray(0, filled)
  }

  function attempt(
    locate: () => Buffer,
    known: Seen | undefined,
    isRoot: boolean,
  ): { header: ReadHeader; isStable: boolean } {
    const fd = openFile(locate())
    try {
      // A device or a fifo that has taken the name must not be read: that may change what it stands for.
      if (!fs.fstatSync(fd).isFile()) throw errnoError(constants.errno.ENOENT, 'read')
      const before = known ?? seenOf(fs.fstatSync(fd, { bigint: true }))
      const { sizeBytes } = before
      const extras = readExtras(fd, sizeBytes, known === undefined)
      const { holes } = extras
      const isInline = sizeBytes <= inlineBytes && holes.length === 0 && !isRoot
      const inline = isInline ? readSmall(fd, sizeBytes) : undefined
      const written = writeReadExtras(results, inline === undefined ? extras : { ...extras, inline })
      const { parts, endByte } =
        inline === undefined
          ? readContent({ fd, sizeBytes, holes }, known !== undefined)
          : { parts: 0, endByte: inline.length }
      const after = fs.fstatSync(fd, { bigint: true })
      const isStable = endByte === before.sizeBytes && isSame(before, seenOf(after))
      return {
        header: { status: 'captured', ...written, sizeBytes: endByte, inode: before.inode, errno: '', parts },
        isStable,
      }
    } finally {
      fs.closeSync(fd)
    }
  }

  function read(locate: () => Buffer, record: FileRecord): ReadHeader {
    const headerAt = results.position
    if (record.sizeBytes > inlineBytes) cutter.makeRoom(record.sizeBytes)
    let header: ReadHeader
    for (let tries = 1; ; tries++) {
      const mark = cutter.mark()
      results.rewind(headerAt)
      results.bytes(new Uint8Array(READ_HEADER_BYTES))
      try {
        const outcome = attempt(locate, tries === 1 ? record : undefined, record.name.length === 0)
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
      if (header.status === 'failed' || tries < TRIES) cutter.forget(mark)
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
    help(file) {
      if (sharing === undefined) throw new MirrorError('internal', 'this reader shares no files')
      const own = reopen(file.fd)
      try {
        const content = own === undefined ? file : { ...file, fd: own }
        return cutSpans({ cutter, records: sharing.records }, content, {
          avgBytes: chunker.avgBytes,
          onBytes,
        })
      } finally {
        if (own !== undefined) fs.closeSync(own)
        cutter.flush()
      }
    },
    flush: cutter.flush,
    finish: cutter.finish,
  }
}

/** The kernel reads ahead for each opening of a file: two threads that share one are in each other's way. */
function reopen(fd: number): number | undefined {
  try {
    return fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  } catch {
    return undefined
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
