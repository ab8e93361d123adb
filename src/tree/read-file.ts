/**
 * Bytes of a file out of its blocks, in order, with the next blocks already on their way. Bounded: READ_AHEAD_BYTES of
 * blocks are held for each reading, less where many share a bound, and nothing is read that the consumer does not come for.
 */
import { MirrorError } from '../base/errors.ts'
import type { FileEntry } from '../dag/entry.ts'
import { fileParts } from '../dag/reader.ts'
import type { NodeSource } from '../dag/source.ts'

const READ_AHEAD_BYTES = 2 * 1024 * 1024

export interface ByteRange {
  readonly startByte: number
  /** First byte after the range; past the end of the file it is cut short. */
  readonly endByte: number
}

export interface FileReader {
  /** @throws MirrorError `not-found` for a missing block, with its CID in the facts */
  read(entry: FileEntry, range?: ByteRange, signal?: AbortSignal): AsyncIterable<Uint8Array>
}

/** Readings that go on. */
export interface ReadShares {
  readings: number
}

export function createFileReader(
  { blocks }: { blocks: NodeSource },
  {
    readAheadBytes = READ_AHEAD_BYTES,
    maxTotalBytes = Number.POSITIVE_INFINITY,
    shares = { readings: 0 },
  }: {
    /** Of one reading: at least one block is on its way. */
    readonly readAheadBytes?: number
    /** Of all that go on at a time together: each has its share of it, and one block at least. */
    readonly maxTotalBytes?: number
    /** Readers that are given the same have `maxTotalBytes` together. */
    readonly shares?: ReadShares
  } = {},
): FileReader {
  const limitBytes = (): number => Math.min(readAheadBytes, maxTotalBytes / shares.readings)
  return {
    async *read(entry, range, signal) {
      const startByte = range?.startByte ?? 0
      const endByte = Math.min(range?.endByte ?? entry.sizeBytes, entry.sizeBytes)
      if (startByte >= endByte) return
      const parts = fileParts(blocks, entry, { startByte, endByte }, signal)
      const queue: { part: { offset: number; lengthBytes: number }; bytes: Promise<Uint8Array> }[] = []
      let queuedBytes = 0
      let isDrained = false
      shares.readings++
      try {
        for (;;) {
          while (!isDrained && (queue.length === 0 || queuedBytes < limitBytes())) {
            const next = await parts.next()
            if (next.done) {
              isDrained = true
              break
            }
            const part = next.value
            const bytes = fetch(part.cid)
            // It may fail while an earlier block is being consumed; whoever comes for it sees the error.
            bytes.catch(() => undefined)
            queue.push({ part, bytes })
            queuedBytes += part.lengthBytes
          }
          const head = queue.shift()
          if (head === undefined) return
          const { part } = head
          const bytes = await head.bytes
          queuedBytes -= part.lengthBytes
          if (bytes.length !== part.lengthBytes) {
            throw new MirrorError(
              'corrupt',
              `a block is ${bytes.length} bytes, its file says ${part.lengthBytes}`,
            )
          }
          yield bytes.subarray(
            Math.max(0, startByte - part.offset),
            Math.min(part.lengthBytes, endByte - part.offset),
          )
        }
      } finally {
        shares.readings--
        await parts.return()
      }

      async function fetch(cid: Parameters<NodeSource['get']>[0]): Promise<Uint8Array> {
        const bytes = await blocks.get(cid, signal)
        if (bytes !== undefined) return bytes
        throw new MirrorError('not-found', `block ${cid.toString()} is missing`, {
          facts: { cid: cid.toString() },
        })
      }
    },
  }
}
