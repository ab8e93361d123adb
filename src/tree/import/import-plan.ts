/**
 * The batches of one import: handed to read threads in order, given to the build thread in order once they are read.
 * They wait in temporary files: a tree of large files has as many batches as files.
 */
import fs from 'node:fs'
import v8 from 'node:v8'
import type { SpoolBatch } from '../spool/spool.ts'
import type { BuildBatch } from './import-threads.ts'
import type { Help } from './shared-files.ts'

export interface ReadTask {
  readonly number: number
  readonly batch: SpoolBatch
}

export interface ImportPlan {
  addBatch(batch: SpoolBatch): void
  endScan(): void
  /** Batches with contents to read that no thread has taken yet. */
  readonly unread: number
  /**
   * A batch to read, or a large file to help with; waits for the scan, and for those who read and may come to share
   * one; undefined when there is nothing left.
   */
  nextToRead(): Promise<ReadTask | Help | undefined>
  /** There is something to help with. */
  wake(): void
  finishRead(number: number, results: NonNullable<BuildBatch['results']>): void
  /** Waits until the next batch is read; undefined at the end. */
  nextToBuild(): Promise<BuildBatch | undefined>
}

/** Start, end and descriptor of a batch's results: zeros until it is read. */
const RESULTS_BYTES = 24

/**
 * @param fds two empty temporary files, which the caller closes
 * @param help what a reader can do when no batch waits
 */
export function createImportPlan(
  fds: { readonly batches: number; readonly results: number },
  help: () => Help | undefined = () => undefined,
): ImportPlan {
  let endByte = 0
  let added = 0
  const reading = createCursor()
  const building = createCursor()
  let unread = 0
  let inHand = 0
  let isScanned = false
  let waiting: (() => void)[] = []

  function wake(): void {
    const all = waiting
    waiting = []
    for (const resume of all) resume()
  }

  const change = (): Promise<void> => new Promise((resolve) => waiting.push(resolve))

  /** Walks over the batches in the order in which they were added. */
  function createCursor(): { readonly number: number; peek(): SpoolBatch | undefined; advance(): void } {
    let number = 0
    let startByte = 0
    let ahead: { readonly batch: SpoolBatch; readonly sizeBytes: number } | undefined
    return {
      get number() {
        return number
      },
      peek() {
        if (number < added) ahead ??= readBatch(startByte)
        return ahead?.batch
      },
      advance() {
        number += 1
        startByte += ahead!.sizeBytes
        ahead = undefined
      },
    }
  }

  function readBatch(startByte: number): { batch: SpoolBatch; sizeBytes: number } {
    const head = readAt(fds.batches, startByte, 4)
    const lengthBytes = head.readUInt32LE(0)
    const batch = v8.deserialize(readAt(fds.batches, startByte + 4, lengthBytes)) as SpoolBatch
    return { batch, sizeBytes: 4 + lengthBytes }
  }

  function resultsOf(number: number): BuildBatch['results'] {
    const bytes = readAt(fds.results, number * RESULTS_BYTES, RESULTS_BYTES)
    const fd = bytes.readDoubleLE(16)
    return fd === 0 ? undefined : { startByte: bytes.readDoubleLE(0), endByte: bytes.readDoubleLE(8), fd }
  }

  return {
    addBatch(batch) {
      const bytes = v8.serialize(batch)
      const record = Buffer.allocUnsafe(4 + bytes.length)
      record.writeUInt32LE(bytes.length, 0)
      record.set(bytes, 4)
      writeAt(fds.batches, record, endByte)
      endByte += record.length
      added += 1
      if (batch.reads > 0) unread += 1
      wake()
    },
    endScan() {
      isScanned = true
      wake()
    },
    get unread() {
      return unread
    },
    async nextToRead() {
      for (;;) {
        for (let batch = reading.peek(); batch !== undefined; batch = reading.peek()) {
          const { number } = reading
          reading.advance()
          if (batch.reads === 0) continue
          unread -= 1
          inHand += 1
          return { number, batch }
        }
        const found = help()
        if (found !== undefined) return found
        if (isScanned && inHand === 0) return undefined
        await change()
      }
    },
    finishRead(number, { fd, startByte, endByte: end }) {
      const bytes = Buffer.alloc(RESULTS_BYTES)
      bytes.writeDoubleLE(startByte, 0)
      bytes.writeDoubleLE(end, 8)
      bytes.writeDoubleLE(fd, 16)
      writeAt(fds.results, bytes, number * RESULTS_BYTES)
      inHand -= 1
      wake()
    },
    wake,
    async nextToBuild() {
      for (;;) {
        const batch = building.peek()
        if (batch === undefined && isScanned) return undefined
        if (batch !== undefined) {
          const results = batch.reads === 0 ? undefined : resultsOf(building.number)
          if (batch.reads === 0 || results !== undefined) {
            building.advance()
            const { startByte, endByte: end } = batch
            return { records: { startByte, endByte: end }, ...(results === undefined ? {} : { results }) }
          }
        }
        await change()
      }
    },
  }
}

function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; )
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done)
}

/** What lies behind the end of the file reads as zeros. */
function readAt(fd: number, position: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes)
  for (let done = 0; done < lengthBytes; ) {
    const count = fs.readSync(fd, bytes, done, lengthBytes - done, position + done)
    if (count === 0) break
    done += count
  }
  return bytes
}
