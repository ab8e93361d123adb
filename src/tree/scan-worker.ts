import type { ScanInput, ScanQuestion } from './import-threads.ts'
import { asBuffer } from './path-bytes.ts'
import type { ScanResult } from './scan.ts'
import { scanTree } from './scan.ts'
import { runThread } from './thread.ts'

runThread<ScanInput, ScanQuestion, undefined, ScanResult>(({ root, spoolFd, tempDir }, main) => {
  // Batches are announced without waiting, but only so far ahead of what the main thread has noted.
  let noted: (() => undefined)[] = []
  const result = scanTree(asBuffer(root), { spoolFd, tempDir }, (batch) => {
    noted.push(main.post({ kind: 'batch', batch }))
    if (noted.length < 64) return
    for (const wait of noted) wait()
    noted = []
  })
  for (const wait of noted) wait()
  return result
})
