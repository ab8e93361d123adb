/**
 * The batches of one import: handed to read threads in order, given to the build thread in order once they are read.
 * Memory is a few hundred bytes for each 512 files.
 */
import type { BuildBatch } from './import-threads.ts'
import type { SpoolBatch } from './spool.ts'

export interface ImportPlan {
  addBatch(batch: SpoolBatch): void
  endScan(): void
  batch(number: number): SpoolBatch
  /** Batches with contents to read that no thread has taken yet. */
  readonly unread: number
  /** Number of a batch to read; waits for the scan; undefined when there is none left. */
  nextToRead(): Promise<number | undefined>
  finishRead(number: number, results: NonNullable<BuildBatch['results']>): void
  /** Waits until the next batch is read; undefined at the end. */
  nextToBuild(): Promise<BuildBatch | undefined>
}

export function createImportPlan(): ImportPlan {
  const batches: SpoolBatch[] = []
  const results: BuildBatch['results'][] = []
  let toRead = 0
  let toBuild = 0
  let unread = 0
  let isScanned = false
  let waiting: (() => void)[] = []

  function wake(): void {
    const all = waiting
    waiting = []
    for (const resume of all) resume()
  }

  const change = (): Promise<void> => new Promise((resolve) => waiting.push(resolve))

  return {
    addBatch(batch) {
      batches.push(batch)
      if (batch.reads > 0) unread += 1
      wake()
    },
    endScan() {
      isScanned = true
      wake()
    },
    batch: (number) => batches[number]!,
    get unread() {
      return unread
    },
    async nextToRead() {
      for (;;) {
        while (toRead < batches.length && batches[toRead]!.reads === 0) toRead += 1
        if (toRead < batches.length) {
          unread -= 1
          return toRead++
        }
        if (isScanned) return undefined
        await change()
      }
    },
    finishRead(number, range) {
      results[number] = range
      wake()
    },
    async nextToBuild() {
      for (;;) {
        const batch = batches[toBuild]
        const range = results[toBuild]
        if (batch === undefined && isScanned) return undefined
        if (batch !== undefined && (batch.reads === 0 || range !== undefined)) {
          toBuild += 1
          const { startByte, endByte } = batch
          return { records: { startByte, endByte }, ...(range === undefined ? {} : { results: range }) }
        }
        await change()
      }
    },
  }
}
