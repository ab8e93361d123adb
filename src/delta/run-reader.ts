/**
 * Reads what a run needs: its blocks, and those of its window, each set as one piece of memory. What was given back is used
 * again: megabytes for each run would otherwise wait for a collection, in every thread that they were given to.
 */
import { MirrorError } from '../base/errors.ts'
import type { NodeSource } from '../dag/reader.ts'
import { getBlock } from '../dag/source.ts'
import type { BlockRange } from './delta.ts'
import type { IndexMap } from './index-map.ts'
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
const READS_AT_ONCE = 16
const SPARE_BUFFERS = 8
const BUFFER_GRAIN_BYTES = 1024 * 1024

export function createRunReader(source: NodeSource, base: IndexMap, signal?: AbortSignal): RunReader {
  const kept = new Map<number, { readonly bytes: Promise<Uint8Array>; readonly lengthBytes: number }>()
  let keptBytes = 0
  const spare: ArrayBuffer[] = []

  async function readBase(position: number): Promise<Uint8Array> {
    const { cid, lengthBytes } = await base.blockAt(position)
    let found = kept.get(position)
    if (found === undefined) {
      const bytes = getBlock(source, cid, 'base of a delta', signal).then((read) =>
        checked(read, lengthBytes),
      )
      found = { bytes, lengthBytes }
      keptBytes += lengthBytes
    } else kept.delete(position)
    kept.set(position, found)
    for (const [oldest, { lengthBytes: length }] of kept) {
      if (keptBytes <= KEPT_BYTES) break
      kept.delete(oldest)
      keptBytes -= length
    }
    return found.bytes
  }

  function take(sizeBytes: number): Uint8Array {
    const at = spare.findIndex(({ byteLength }) => byteLength >= sizeBytes)
    const grains = Math.max(1, Math.ceil(sizeBytes / BUFFER_GRAIN_BYTES))
    const buffer = at < 0 ? new ArrayBuffer(grains * BUFFER_GRAIN_BYTES) : spare.splice(at, 1)[0]!
    return new Uint8Array(buffer, 0, sizeBytes)
  }

  async function gather<Item>(
    items: readonly Item[],
    sizeBytes: number,
    read: (item: Item) => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const all = take(sizeBytes)
    let at = 0
    for (let start = 0; start < items.length; start += READS_AT_ONCE)
      for (const bytes of await Promise.all(items.slice(start, start + READS_AT_ONCE).map(read))) {
        all.set(bytes, at)
        at += bytes.length
      }
    return all
  }

  return {
    targets: (targets) =>
      gather(targets, sizeOf(targets), async ({ cid, lengthBytes }) =>
        checked(await getBlock(source, cid, 'target of a delta', signal), lengthBytes),
      ),
    window({ window, windowBytes }) {
      const positions = window.flatMap(({ first, count }) =>
        Array.from({ length: count }, (_, i) => first + i),
      )
      return gather(positions, windowBytes, readBase)
    },
    giveBack({ buffer }) {
      // The smallest first, for the next one to find it.
      if (spare.length < SPARE_BUFFERS) spare.push(buffer as ArrayBuffer)
      spare.sort((x, y) => x.byteLength - y.byteLength)
    },
  }
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
