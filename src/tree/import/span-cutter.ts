/** One thread's part in cutting a shared file: takes spans as long as there are some that nobody has taken. */

import { reasonOf } from '../reason.ts'
import type { RecordWriter } from '../spool/record-bytes.ts'
import type { ContentCutter } from './content-cutter.ts'
import type { SharedFile, SpanCuts, SpanReport } from './file-spans.ts'

/** Average chunks before a span: after so many all but one time in two hundred the cuts are those of one thread. */
const LEAD_IN_CHUNKS = 16

/** Where the runs of chunks of spans go. */
export interface SpanRecords {
  readonly fd: number
  readonly out: RecordWriter
}

export function cutSpans(
  { cutter, records }: { readonly cutter: ContentCutter; readonly records: SpanRecords },
  file: SharedFile,
  {
    avgBytes,
    onBytes,
  }: { readonly avgBytes: number; readonly onBytes?: ((bytes: number) => void) | undefined },
): SpanReport {
  const { starts, sizeBytes, taken } = file
  const { fd, out } = records
  const spans: SpanCuts[] = []
  try {
    for (;;) {
      const index = Atomics.add(taken, 0, 1)
      const spanByte = starts[index]
      if (spanByte === undefined) break
      const stopByte = starts[index + 1] ?? sizeBytes
      const last = spans.at(-1)
      let startByte = last?.index === index - 1 ? last.endByte : 0
      if (index > 0 && last?.index !== index - 1) {
        const leadByte = Math.max(0, spanByte - LEAD_IN_CHUNKS * avgBytes)
        startByte = cutter.cut(file, { startByte: leadByte, stopByte: spanByte }).endByte
      }
      const atByte = out.position
      const { parts, endByte, hasShrunk } = cutter.cut(file, { startByte, stopByte, out })
      spans.push({ index, startByte, endByte, fd, atByte, parts })
      onBytes?.(stopByte - spanByte)
      if (!hasShrunk) continue
      stopSharing(file)
      return { spans, hasShrunk }
    }
    return { spans, hasShrunk: false }
  } catch (error) {
    stopSharing(file)
    reasonOf(error) // a defect flies on
    return { spans, hasShrunk: false, errno: (error as NodeJS.ErrnoException).code ?? '' }
  } finally {
    out.flush()
  }
}

/** Nobody takes a span of it any more. */
export function stopSharing({ taken, starts }: SharedFile): void {
  Atomics.store(taken, 0, starts.length)
}
