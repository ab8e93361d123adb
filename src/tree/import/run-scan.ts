import { createIgnoreRules } from '../ignore-rules.ts'
import { asBuffer } from '../path-bytes.ts'
import { createStatCacheCursor } from '../stat-cache/cursor.ts'
import { openCacheFile } from '../stat-cache/file.ts'
import type { Asking } from '../thread.ts'
import type { ScanInput, ScanQuestion } from './import-threads.ts'
import type { ScanResult } from './scan.ts'
import { scanTree } from './scan.ts'

/** The scan of an import, in its tree thread. */
export function runScan(input: ScanInput, main: Asking<ScanQuestion, unknown>): ScanResult {
  const { root, spoolFd, tempDir, ignore, known } = input
  // Batches are announced without waiting, but only so far ahead of what the main thread has noted.
  let noted: (() => unknown)[] = []
  const cache = known && openCacheFile(known.cacheFd, known.subject)
  const result = scanTree(
    asBuffer(root),
    { spoolFd, tempDir },
    (batch) => {
      noted.push(main.post({ kind: 'batch', batch }))
      if (noted.length < 64) return
      for (const wait of noted) wait()
      noted = []
    },
    {
      known: cache && known && { cursor: createStatCacheCursor(cache), resultsFd: known.resultsFd },
      ignore: createIgnoreRules(ignore),
    },
  )
  for (const wait of noted) wait()
  return result
}
