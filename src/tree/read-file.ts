/**
 * Bytes of a file out of its blocks, in order, with the next blocks already on their way. Bounded: READ_AHEAD_BYTES of
 * blocks are held for each reading, less where many share a bound, and nothing is read that the consumer does not come for.
 */
import { MirrorError } from '../base/errors.ts'
import { type Cid, RAW } from '../block/cid.ts'
import type { FileEntry } from '../dag/entry.ts'
import { fileParts, type PlacedPart } from '../dag/reader.ts'
import type { NodeSource } from '../dag/source.ts'
import type { BlockLender, Loan } from './block-lender.ts'
import { createSharedNodes } from './shared-nodes.ts'

const READ_AHEAD_BYTES = 2 * 1024 * 1024
/** One look-up and mostly one read of the disk, instead of four of each. */
const BATCH_BYTES = 256 * 1024

export interface ByteRange {
  readonly startByte: number
  /** First byte after the range; past the end of the file it is cut short. */
  readonly endByte: number
}

export interface FileReader {
  /** @throws MirrorError `not-found` for a missing block, with its CID in the facts */
  read(entry: FileEntry, range?: ByteRange, signal?: AbortSignal): AsyncIterable<Uint8Array>
  /** As `read`, for those who have done with each piece when they ask for the next: its memory may be used again then. */
  readOnce(entry: FileEntry, range?: ByteRange, signal?: AbortSignal): AsyncIterable<Uint8Array>
}

/** Readings that go on. */
export interface ReadShares {
  readings: number
}

export function createFileReader(
  { blocks, lender }: { readonly blocks: NodeSource; readonly lender?: BlockLender },
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
  // Where many cost little more than one, they are asked for together.
  const batchBytes = blocks.getMany === undefined && lender === undefined ? 1 : BATCH_BYTES
  const limitBytes = (): number => Math.min(readAheadBytes, maxTotalBytes / shares.readings)

  const load = createSharedNodes()

  async function fetch(
    cids: readonly Cid[],
    isLent: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Pick<Loan, 'bytes'> & Partial<Loan>> {
    if (isLent && cids.length > 0) return lender!.lend(cids, signal)
    if (cids.length > 1 && blocks.getMany !== undefined) return { bytes: await blocks.getMany(cids, signal) }
    return { bytes: cids.length === 0 ? [] : [await blocks.get(cids[0]!, signal)] }
  }

  async function* read(
    entry: FileEntry,
    range: ByteRange | undefined,
    signal: AbortSignal | undefined,
    isLent: boolean,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const startByte = range?.startByte ?? 0
    const endByte = Math.min(range?.endByte ?? entry.sizeBytes, entry.sizeBytes)
    if (startByte >= endByte) return
    if (entry.inline !== undefined) {
      yield entry.inline.subarray(startByte, endByte)
      return
    }
    const parts = fileParts(blocks, entry, { startByte, endByte }, signal, load)
    const queue: {
      readonly part: PlacedPart
      readonly bytes: Promise<Uint8Array>
      /** Of the last part that came by it. */
      readonly loan: ReturnType<typeof fetch> | undefined
    }[] = []
    let queuedBytes = 0
    let isDrained = false
    shares.readings++
    try {
      for (;;) {
        while (!isDrained && (queue.length === 0 || queuedBytes < limitBytes())) {
          const batch: PlacedPart[] = []
          for (
            let bytes = 0;
            bytes < Math.min(batchBytes, limitBytes());
            bytes += batch.at(-1)!.lengthBytes
          ) {
            const next = await parts.next()
            isDrained = next.done === true
            if (next.done) break
            batch.push(next.value)
          }
          const found = fetch(
            batch.map(({ cid }) => cid),
            isLent,
            signal,
          )
          for (const [i, part] of batch.entries()) {
            const bytes = found.then((loan) => loan.bytes[i] ?? missing(part.cid))
            // It may fail while an earlier block is being consumed; whoever comes for it sees the error.
            bytes.catch(() => undefined)
            queue.push({ part, bytes, loan: i === batch.length - 1 ? found : undefined })
            queuedBytes += part.lengthBytes
          }
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
        // Not when the consumer went away: it may still be sending the piece.
        if (head.loan !== undefined) (await head.loan).release?.()
      }
    } finally {
      shares.readings--
      await parts.return()
    }
  }

  return {
    read: (entry, range, signal) => read(entry, range, signal, false),
    // A file of one chunk may be at hand.
    readOnce: (entry, range, signal) =>
      read(entry, range, signal, lender !== undefined && entry.content?.code !== RAW),
  }
}

function missing(cid: Cid): never {
  throw new MirrorError('not-found', `block ${cid.toString()} is missing`, {
    facts: { cid: cid.toString() },
  })
}
