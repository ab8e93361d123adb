/**
 * A large file in spans that several threads cut at a time, with exactly the chunks that one thread would have cut.
 *
 * From one cut on all cuts are the same, wherever the cutting began (content-cutter.ts). So whoever takes a span begins a
 * little before it, and by the time it is there it has nearly always met the cuts that one thread would have made: after
 * sixteen average chunks all but one time in two hundred. Whoever joins the spans takes nothing on trust: where a span
 * does not begin at the cut that the one before has ended with, it cuts on from there until it meets a cut of the span,
 * or of a later one. Constant and periodic bytes can keep two sequences apart for as long as they last, and then what
 * others cut of them was in vain.
 */

import { PART_BYTES, readPart, writePart } from '../spool/read-results.ts'
import type { RecordReader, RecordWriter } from '../spool/record-bytes.ts'
import { createRecordReader } from '../spool/record-bytes.ts'
import type { OpenContent } from './content-cutter.ts'

/** Spans of one file at most: they are listed in memory. */
const MAX_SPANS = 1024

/** A file that several threads cut: plain data, and a counter that they share. */
export interface SharedFile extends OpenContent {
  /** The chunks are stored, and do not stay in the file. */
  readonly isStored: boolean
  readonly starts: readonly number[]
  /** How many spans were taken. */
  readonly taken: Int32Array<SharedArrayBuffer>
}

/** What one thread found of a shared file. */
export interface SpanReport {
  readonly spans: readonly SpanCuts[]
  readonly hasShrunk: boolean
  /** Why it could not be read; absent when it could. */
  readonly errno?: string
}

export interface SpanCuts {
  readonly index: number
  /** Of its first chunk, and after its last. */
  readonly startByte: number
  readonly endByte: number
  /** Its runs of chunks: `parts` records from `atByte` on. */
  readonly fd: number
  readonly atByte: number
  readonly parts: number
}

/**
 * Where spans start, each with `spanBytes` of data, and more in a very large file; holes cost nothing to read and do not
 * count. One start is a file that is not worth sharing.
 */
export function spanStarts(sizeBytes: number, holes: readonly number[], spanBytes: number): number[] {
  let dataBytes = sizeBytes
  for (let at = 1; at < holes.length; at += 2) dataBytes -= holes[at]!
  const stepBytes = Math.max(spanBytes, Math.ceil(dataBytes / MAX_SPANS))
  const starts = [0]
  let wantedBytes = stepBytes
  let from = 0
  for (let hole = 0; hole <= holes.length; hole += 2) {
    const to = holes[hole] ?? sizeBytes
    for (; to - from > wantedBytes; wantedBytes = stepBytes) {
      from += wantedBytes
      // Rather a last span that is up to half as long again than a short one.
      if (sizeBytes - from >= stepBytes / 2) starts.push(from)
    }
    wantedBytes -= Math.max(0, to - from)
    from = to + (holes[hole + 1] ?? 0)
  }
  return starts
}

/**
 * Writes the runs of chunks of a whole file.
 *
 * @param spans of each index one, in order
 * @param cutOn cuts from a cut on, writes the runs of chunks, and asks at each cut whether it is the last
 * @returns runs written, and the last cut
 */
export function joinSpans(
  spans: readonly SpanCuts[],
  sizeBytes: number,
  out: RecordWriter,
  cutOn: (startByte: number, isLast: (cutByte: number) => boolean) => { parts: number; endByte: number },
): { parts: number; endByte: number } {
  let parts = 0
  let endByte = 0
  for (let index = 0; index < spans.length && endByte < sizeBytes; index++) {
    // A chunk has gone beyond all of it.
    if (spans[index]!.endByte < endByte) continue
    let cursor = createCursor(spans[index]!)
    if (!cursor.goTo(endByte)) {
      const cut = cutOn(endByte, (cutByte) => {
        while (cutByte > spans[index]!.endByte && index + 1 < spans.length)
          cursor = createCursor(spans[++index]!)
        return cursor.goTo(cutByte)
      })
      parts += cut.parts
      // Only where the file has shrunk: its spans end where it did.
      if (!cursor.goTo(cut.endByte)) return { parts, endByte: cut.endByte }
    }
    parts += cursor.copyRest(out)
    endByte = spans[index]!.endByte
  }
  return { parts, endByte }
}

/** Walks over the cuts of one span. */
function createCursor({ startByte, fd, atByte, parts }: SpanCuts): {
  /** Goes to `cutByte`, never back; whether it is a cut of the span. */
  goTo(cutByte: number): boolean
  /** Writes what follows the cut that it stands at. Returns the runs written. */
  copyRest(out: RecordWriter): number
} {
  const records: RecordReader = createRecordReader(fd, atByte, atByte + parts * PART_BYTES)
  let at = startByte
  let run: ReturnType<typeof readPart> = { digest: new Uint8Array(), lengthBytes: 0, count: 0 }

  return {
    goTo(cutByte) {
      while (at < cutByte) {
        if (run.count === 0) {
          if (records.isAtEnd) return false
          run = readPart(records)
        }
        const steps = Math.min(run.count, Math.ceil((cutByte - at) / run.lengthBytes))
        at += steps * run.lengthBytes
        run.count -= steps
      }
      return at === cutByte
    },
    copyRest(out) {
      let written = 0
      for (;;) {
        if (run.count > 0) {
          writePart(out, run.digest, run.lengthBytes, run.count)
          written += 1
        }
        if (records.isAtEnd) return written
        run = readPart(records)
      }
    },
  }
}
