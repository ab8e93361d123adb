/**
 * Reads blocks of packs into memory that is used again: for serving, where each block is sent and forgotten. Memory of its own
 * for each would be garbage at the rate of the network, and collecting that costs more than reading, hashing and sending it.
 *
 * A loan's bytes are right until it is given back, and nobody may look at them after. One that is never given back is garbage, no
 * more. Everything lent was verified, in a thread (lender-thread.ts). Blocks that do not rest plain in packs, or are not found where they should be, come
 * from the store as they always do.
 */
import { systemClock } from '../base/clock.ts'
import { Semaphore } from '../base/semaphore.ts'
import type { Cid } from '../block/cid.ts'
import { cidToKeyBytes } from '../block/cid.ts'
import type { BlockPlace, BlockStore } from '../store/block-store.ts'
import { createLenderThread, type ReadJob } from './lender-thread.ts'

export interface Loan {
  /** One for each CID, in order; undefined where the block is missing. */
  readonly bytes: readonly (Uint8Array | undefined)[]
  /** Once, when nobody needs the bytes any more. */
  release(): void
}

export interface BlockLender {
  lend(cids: readonly Cid[], signal?: AbortSignal): Promise<Loan>
}

/**
 * Of one loan: more is lent out of memory of its own. With a thousand clients each has a block, with a few each has many. Of each
 * size so many are kept for the next ones, 48 MiB in all; MAX_IDLE of each once nothing has been given back for a while.
 */
const SLABS = [
  { sizeBytes: 64 * 1024, maxPooled: 256 },
  { sizeBytes: 128 * 1024, maxPooled: 128 },
  { sizeBytes: 512 * 1024, maxPooled: 32 },
] as const
const MAX_IDLE = 16
/** Loans that are read at a time: more would only wait for the disk with memory in their hands. */
const MAX_READING = 16
const IDLE_MS = 10_000
/** What lies between two blocks is read with them up to here: entry headers, mostly. */
const MAX_GAP_BYTES = 16 * 1024

interface Run {
  readonly path: string
  readonly start: number
  end: number
  readonly members: number[]
}

export function createBlockLender({
  blocks,
}: {
  readonly blocks: Pick<BlockStore, 'get' | 'locate'>
}): BlockLender {
  const pools = SLABS.map((slab) => ({ ...slab, free: [] as ArrayBuffer[] }))
  const reading = new Semaphore(MAX_READING)
  const thread = createLenderThread()
  let isTrimDue = false
  let givenBackMs = 0

  /** Not after each loan: a timer for every block would cost as much as the block. */
  function trim(): void {
    isTrimDue = false
    const idleMs = systemClock.monotonicMs() - givenBackMs
    if (idleMs < IDLE_MS) trimAfter(IDLE_MS - idleMs)
    else for (const { free } of pools) free.length = Math.min(free.length, MAX_IDLE)
  }

  function trimAfter(delayMs: number): void {
    isTrimDue = true
    systemClock.after(delayMs, trim)
  }

  function giveBack(pool: (typeof pools)[number] | undefined, slab: ArrayBuffer): void {
    if (pool !== undefined && pool.free.length < pool.maxPooled) pool.free.push(slab)
    givenBackMs = systemClock.monotonicMs()
    if (!isTrimDue) trimAfter(IDLE_MS)
  }

  async function read(cids: readonly Cid[], signal: AbortSignal | undefined): Promise<Loan> {
    const places = await blocks.locate(cids)
    signal?.throwIfAborted()
    const { order, ...job } = jobOf(runsOf(places), cids, places)
    const wantedBytes = job.runs.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
    const pool = pools.find(({ sizeBytes }) => wantedBytes <= sizeBytes)
    const take = (): ArrayBuffer => pool?.free.pop() ?? new ArrayBuffer(pool?.sizeBytes ?? wantedBytes)
    const slab = order.length === 0 ? undefined : await thread.read({ slab: take(), ...job })
    const bytes: (Uint8Array | undefined)[] = cids.map(() => undefined)
    for (const [n, i] of order.entries()) {
      const { at, lengthBytes } = job.blocks[n]!
      if (slab?.isRight[n] === true) bytes[i] = new Uint8Array(slab.slab, at, lengthBytes)
    }
    for (const [i, cid] of cids.entries()) bytes[i] ??= await blocks.get(cid, signal)
    return {
      bytes,
      release() {
        if (slab !== undefined) giveBack(pool, slab.slab)
      },
    }
  }

  return {
    lend: (cids, signal) =>
      // Its turn comes soon, also when nobody waits for it any more: that is told then, without a listener for each.
      reading.run(() => {
        signal?.throwIfAborted()
        return read(cids, signal)
      }),
  }
}

/** What the thread is to do, with the indexes in `cids` of what it is to read, one behind the other in the slab. */
function jobOf(
  runs: readonly Run[],
  cids: readonly Cid[],
  places: readonly (BlockPlace | undefined)[],
): Pick<ReadJob, 'runs' | 'blocks'> & { readonly order: readonly number[] } {
  const order: number[] = []
  const blocks: ReadJob['blocks'][number][] = []
  let at = 0
  const placed = runs.map(({ path, start, end, members }, run) => {
    for (const i of members) {
      const { offset, lengthBytes } = places[i]!
      order.push(i)
      blocks.push({ key: cidToKeyBytes(cids[i]!), at: at + offset - start, lengthBytes, run })
    }
    at += end - start
    return { path, startByte: start, lengthBytes: end - start, at: at - (end - start) }
  })
  return { runs: placed, blocks, order }
}

/** Of blocks that rest plain in packs. */
function runsOf(places: readonly (BlockPlace | undefined)[]): Run[] {
  const order = places.flatMap((place, i) =>
    place !== undefined && place.encoding === 'plain' && place.root === undefined ? [i] : [],
  )
  order.sort((a, b) => {
    const [one, other] = [places[a]!, places[b]!]
    return one.path === other.path ? one.offset - other.offset : one.path < other.path ? -1 : 1
  })
  const runs: Run[] = []
  for (const i of order) {
    const { path, offset, storedBytes } = places[i]!
    const last = runs.at(-1)
    if (last?.path === path && offset <= last.end + MAX_GAP_BYTES) {
      last.end = Math.max(last.end, offset + storedBytes)
      last.members.push(i)
    } else runs.push({ path, start: offset, end: offset + storedBytes, members: [i] })
  }
  return runs
}
