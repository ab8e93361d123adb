/**
 * Reads what a run needs: its blocks, and those of its window, each set as one piece of memory. What was given back is used
 * again: megabytes for each run would otherwise wait for a collection, in every thread that they were given to.
 */
import { MirrorError } from '../base/errors.ts'
import { Semaphore } from '../base/semaphore.ts'
import type { Cid } from '../block/cid.ts'
import type { NodeSource } from '../dag/reader.ts'
import { getBlocks } from '../dag/source.ts'
import type { BlockRange } from './delta.ts'
import type { IndexMap, PlacedBlock } from './index-map.ts'
import type { PlacedTarget } from './place-blocks.ts'
import type { Run } from './runs.ts'

export interface RunReader {
  targets(targets: readonly PlacedTarget[]): Promise<Uint8Array>
  window(run: Run): Promise<Uint8Array>
  /** Of either, when it is needed no more. */
  giveBack(bytes: Uint8Array): void
}

/** Windows of runs that follow each other overlap. */
const KEPT_BYTES = 4 * 1024 * 1024
/** Read together: what lies side by side is one read. */
const BATCH_BYTES = 1024 * 1024
const BATCH_BLOCKS = 128
const SPARE_BUFFERS = 4
const BUFFER_GRAIN_BYTES = 1024 * 1024

export function createRunReader(source: NodeSource, base: IndexMap, signal?: AbortSignal): RunReader {
  const kept = new Map<number, Uint8Array>()
  let keptBytes = 0
  const turn = new Semaphore(1)
  const spare: ArrayBuffer[] = []

  function keep(position: number, bytes: Uint8Array): void {
    kept.delete(position)
    kept.set(position, bytes)
    keptBytes += bytes.length
    for (const [oldest, { length }] of kept) {
      if (keptBytes <= KEPT_BYTES) break
      kept.delete(oldest)
      keptBytes -= length
    }
  }

  function take(sizeBytes: number): Uint8Array {
    const at = spare.findIndex(({ byteLength }) => byteLength >= sizeBytes)
    const grains = Math.max(1, Math.ceil(sizeBytes / BUFFER_GRAIN_BYTES))
    const buffer = at < 0 ? new ArrayBuffer(grains * BUFFER_GRAIN_BYTES) : spare.splice(at, 1)[0]!
    return new Uint8Array(buffer, 0, sizeBytes)
  }

  /** @param known of a block that is at hand */
  async function gather<Item extends Listed>(
    items: readonly Item[],
    sizeBytes: number,
    what: string,
    known?: (item: Item) => Uint8Array | undefined,
  ): Promise<{ readonly all: Uint8Array; readonly read: Map<Item, Uint8Array> }> {
    const all = take(sizeBytes)
    const read = new Map<Item, Uint8Array>()
    let at = 0
    for (const batch of batchesOf(items)) {
      const own = batch.map((item) => known?.(item))
      const asked = batch.filter((_, i) => own[i] === undefined)
      const found = asked.length === 0 ? [] : await getBlocks(source, asked.map(cidOf), what, signal)
      for (const [i, bytes] of found.entries()) read.set(asked[i]!, checked(bytes, asked[i]!.lengthBytes))
      for (const [i, item] of batch.entries()) {
        const bytes = own[i] ?? read.get(item)!
        all.set(bytes, at)
        at += bytes.length
      }
    }
    return { all, read }
  }

  async function readWindow({ window, windowBytes }: Run): Promise<Uint8Array> {
    const blocks: PlacedBlock[] = []
    for (const { first, count } of window)
      for (let position = first; position < first + count; position++)
        blocks.push(await base.blockAt(position))
    const { all, read } = await gather(blocks, windowBytes, 'base of a delta', ({ position }) =>
      kept.get(position),
    )
    for (const [{ position }, bytes] of read) keep(position, bytes)
    return all
  }

  return {
    async targets(targets) {
      return (await gather(targets, sizeOf(targets), 'target of a delta')).all
    },
    // One after the other: what the one before has read is at hand.
    window: (run) => turn.run(() => readWindow(run)),
    giveBack({ buffer }) {
      // The smallest first, for the next one to find it.
      if (spare.length < SPARE_BUFFERS) spare.push(buffer as ArrayBuffer)
      spare.sort((x, y) => x.byteLength - y.byteLength)
    },
  }
}

interface Listed {
  readonly cid: Cid
  readonly lengthBytes: number
}

function cidOf({ cid }: Listed): Cid {
  return cid
}

function* batchesOf<Item extends Listed>(items: readonly Item[]): Generator<Item[], void, undefined> {
  let batch: Item[] = []
  let lengthBytes = 0
  for (const item of items) {
    if (batch.length === BATCH_BLOCKS || (batch.length > 0 && lengthBytes + item.lengthBytes > BATCH_BYTES)) {
      yield batch
      batch = []
      lengthBytes = 0
    }
    batch.push(item)
    lengthBytes += item.lengthBytes
  }
  if (batch.length > 0) yield batch
}

function sizeOf(targets: readonly PlacedTarget[]): number {
  return targets.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
}

/** An index and a file say how long a block is; a lie would shift all that follows it. */
function checked(bytes: Uint8Array, lengthBytes: number): Uint8Array {
  if (bytes.length === lengthBytes) return bytes
  throw new MirrorError('corrupt', `a block has ${bytes.length} bytes where ${lengthBytes} are listed`)
}

/** Neighbours as ranges, in the given order. */
export function positionsOf(targets: readonly { readonly position: number }[]): BlockRange[] {
  const ranges: { first: number; count: number }[] = []
  for (const { position } of targets) {
    const last = ranges.at(-1)
    if (last !== undefined && last.first + last.count === position) last.count += 1
    else ranges.push({ first: position, count: 1 })
  }
  return ranges
}
