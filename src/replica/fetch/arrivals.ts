/**
 * What arrived of a fetch, as one unit: many blocks are decoded, verified, stored and reported together, since each step
 * costs nearly as much for one small block as for fifty. Wrong bytes go no further than here.
 *
 * Over a slow link blocks trickle in one by one. So what follows shortly after the last unit is gathered for a moment; what
 * comes after a pause, or is much, goes at once. While one unit is stored the next is decoded.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { isBlockOf } from '../../block/cid.ts'
import type { EncodedBlock } from '../../block/encoding.ts'
import { decodeBlocksLater } from '../../block/encoding.ts'
import type { BlockStore, PutBlock } from '../../store/block-store.ts'
import type { HeldUp } from '../scheduler/held-up.ts'

/** The request that a block is an answer to. */
export interface ArrivalRequest {
  /** Its answers are not wanted any more: what has not been looked at is left aside. */
  readonly isCancelled: boolean
}

/** A block as it came, not looked at yet. */
export interface Arrival<R extends ArrivalRequest> {
  readonly request: R
  readonly offset: number
  readonly cid: Cid
  /** Of the plain block, as the index says. */
  readonly lengthBytes: number
  readonly block: EncodedBlock
  /** When it came, by the clock's monotonic time. */
  readonly atMs: number
}

export interface ArrivalsOptions<R extends ArrivalRequest> {
  readonly signal: AbortSignal
  /** They are stored. */
  readonly onStored: (arrivals: readonly Arrival<R>[]) => void
  /** Their bytes are not those of their CIDs. */
  readonly onCorrupt: (arrivals: readonly Arrival<R>[]) => void
  /** Their requests were cancelled meanwhile. */
  readonly onLeftAside: (arrivals: readonly Arrival<R>[]) => void
  /** The store failed, or the index lies. Nothing is taken in any more. */
  readonly onError: (error: unknown) => void
}

export interface Arrivals<R extends ArrivalRequest> {
  push(arrival: Arrival<R>): void
}

/** Plain bytes of one unit, by what the blocks say: a frame of a few bytes may claim to be 4 MiB. */
const MAX_UNIT_BYTES = 4 * 1024 * 1024
/**
 * From the beginning of one unit to that of the next, unless so much has come: 2 % of the time that the fetch has lasted, within
 * bounds, as for what neighbours are told. A unit costs as much as ten blocks, and over a slow link 20 ms bring no more than six.
 */
const MIN_GATHER_MS = 20
const MAX_GATHER_MS = 60
const GATHER_BYTES = 512 * 1024

/** Of a unit's larger blocks so much is decoded on the spot: where more comes at a time, threads share it. */
const DECODE_HERE_BYTES = 1024 * 1024
/** Memory that is kept for the next unit. One is stored while the next is decoded. */
const MAX_KEPT_BYTES = 2 * 1024 * 1024
const MAX_KEPT = 2

interface Verified<R extends ArrivalRequest> {
  readonly arrivals: readonly Arrival<R>[]
  readonly blocks: readonly PutBlock[]
  /** What the blocks were decoded into: free once they are stored. */
  readonly memory: Uint8Array | undefined
}

export function createArrivals<R extends ArrivalRequest>(
  {
    blocks,
    clock,
    heldUp,
  }: {
    readonly blocks: Pick<BlockStore, 'put'>
    readonly clock: Clock
    readonly heldUp: Pick<HeldUp, 'during'>
  },
  { signal, onStored, onCorrupt, onLeftAside, onError }: ArrivalsOptions<R>,
): Arrivals<R> {
  const queue: Arrival<R>[] = []
  let queuedBytes = 0
  const startMs = clock.monotonicMs()
  let beganMs = Number.NEGATIVE_INFINITY
  let storing: Promise<void> = Promise.resolve()
  let isWorking = false
  let isEnded = false
  let wake: (() => void) | undefined
  const kept: Uint8Array[] = []

  /** Blocks that each had memory of their own would cost its allocator and the collector as much as the decoder. */
  function takeMemory(sizeBytes: number): Uint8Array {
    const known = kept.pop()
    return known !== undefined && known.length >= sizeBytes ? known : Buffer.allocUnsafeSlow(sizeBytes)
  }

  function giveBack(memory: Uint8Array | undefined): void {
    if (memory !== undefined && memory.length <= MAX_KEPT_BYTES && kept.length < MAX_KEPT) kept.push(memory)
  }

  async function work(): Promise<void> {
    while (queue.length > 0) {
      await gather()
      const verified = await verify(takeUnit())
      await storing
      if (isEnded || signal.aborted) return
      storing = store(verified).catch(fail)
    }
  }

  function fail(error: unknown): void {
    if (!isEnded && !signal.aborted) onError(error)
    isEnded = true
    queue.length = 0
  }

  async function gather(): Promise<void> {
    const nowMs = clock.monotonicMs()
    const gatherMs = Math.max(MIN_GATHER_MS, Math.min(MAX_GATHER_MS, (nowMs - startMs) / 50))
    const waitMs = beganMs + gatherMs - nowMs
    if (waitMs > 0 && queuedBytes < GATHER_BYTES) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          cancel()
          signal.removeEventListener('abort', done)
          wake = undefined
          resolve()
        }
        const cancel = clock.after(waitMs, done)
        signal.addEventListener('abort', done)
        wake = done
      })
    }
    // All that the network delivers in this turn of the loop.
    await nextTurn()
    beganMs = clock.monotonicMs()
  }

  function takeUnit(): Arrival<R>[] {
    let count = 0
    for (let bytes = 0; count < queue.length && bytes < MAX_UNIT_BYTES; count++) {
      const { block } = queue[count]!
      bytes += block.lengthBytes
      queuedBytes -= block.bytes.length
    }
    return queue.splice(0, count)
  }

  async function verify(unit: readonly Arrival<R>[]): Promise<Verified<R>> {
    const cancelled = unit.filter(({ request }) => request.isCancelled)
    if (cancelled.length > 0) onLeftAside(cancelled)
    const wanted = cancelled.length === 0 ? unit : unit.filter(({ request }) => !request.isCancelled)
    let memory: Uint8Array | undefined
    const plain = await decodeBlocksLater(
      wanted.map(({ block }) => block),
      { arena: (sizeBytes) => (memory = takeMemory(sizeBytes)), hereBytes: DECODE_HERE_BYTES },
    )
    const right: Arrival<R>[] = []
    const corrupt: Arrival<R>[] = []
    const puts: PutBlock[] = []
    for (let i = 0; i < wanted.length; i++) {
      const arrival = wanted[i]!
      const bytes = plain[i]
      const { cid, lengthBytes, block } = arrival
      if (bytes === undefined || !isBlockOf(cid, bytes)) {
        corrupt.push(arrival)
        continue
      }
      // Right bytes, so the page is wrong; and all that bounds what is in flight rests on the page.
      if (bytes.length !== lengthBytes) throw wrongLength(cid, lengthBytes, bytes.length)
      right.push(arrival)
      puts.push(block.encoding === 'zstd' ? { cid, bytes, zstd: block.bytes } : { cid, bytes })
    }
    if (corrupt.length > 0) onCorrupt(corrupt)
    return { arrivals: right, blocks: puts, memory }
  }

  async function store({ arrivals, blocks: puts, memory }: Verified<R>): Promise<void> {
    if (puts.length > 0) {
      await heldUp.during(blocks.put(puts, { verified: true }))
      onStored(arrivals)
    }
    giveBack(memory)
  }

  /** What comes in the turns between the end of the work and its notice is not left lying. */
  function start(): void {
    isWorking = true
    work()
      .catch(fail)
      .finally(() => {
        isWorking = false
        if (queue.length > 0 && !isEnded && !signal.aborted) start()
      })
  }

  return {
    push(arrival) {
      if (isEnded || signal.aborted) return
      queue.push(arrival)
      queuedBytes += arrival.block.bytes.length
      if (queuedBytes >= GATHER_BYTES) wake?.()
      if (!isWorking) start()
    },
  }
}

function wrongLength(cid: Cid, saidBytes: number, bytes: number): MirrorError {
  return new MirrorError(
    'corrupt',
    `the block index says that block ${cid.toString()} has ${saidBytes} bytes; it has ${bytes}`,
    { facts: { cid: cid.toString() }, hint: 'The publisher has to publish the tree again.' },
  )
}
