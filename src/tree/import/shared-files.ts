/** Main thread's side of reading large files together: which reader may help which, and what those who did have found. */
import type { SharedFile, SpanReport } from './file-spans.ts'

export interface SharedFiles {
  /** @param reader has at most one shared file at a time */
  open(reader: number, file: SharedFile): void
  /** A file with spans that nobody has taken, for a reader that has nothing else to do; it reports when it has ended. */
  begin(): Help | undefined
  /** Nobody begins with the file of this reader any more. Waits for those who did. */
  close(reader: number): Promise<readonly SpanReport[]>
}

export interface Help {
  readonly file: SharedFile
  report(found: SpanReport): void
}

interface OpenFile {
  readonly file: SharedFile
  readonly reports: SpanReport[]
  helpers: number
  wake: () => void
}

export function createSharedFiles(): SharedFiles {
  const files = new Map<number, OpenFile>()

  return {
    open(reader, file) {
      files.set(reader, { file, reports: [], helpers: 0, wake: () => undefined })
    },
    begin() {
      for (const each of files.values()) {
        const { file, reports } = each
        if (Atomics.load(file.taken, 0) >= file.starts.length) continue
        each.helpers += 1
        return {
          file,
          report(found) {
            reports.push(found)
            each.helpers -= 1
            each.wake()
          },
        }
      }
      return undefined
    },
    async close(reader) {
      const closing = files.get(reader)
      if (closing === undefined) return []
      files.delete(reader)
      while (closing.helpers > 0) await new Promise<void>((resolve) => (closing.wake = resolve))
      return closing.reports
    },
  }
}
