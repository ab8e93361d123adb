/** Reads what a run needs: its blocks, and those of its window, each set as one piece of memory of its own. */
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
}

/** Windows of runs that follow each other overlap. */
const KEPT_BYTES = 4 * 1024 * 1024
const READS_AT_ONCE = 16

export function createRunReader(source: NodeSource, base: IndexMap, signal?: AbortSignal): RunReader {
  const kept = new Map<number, Uint8Array>()
  let keptBytes = 0

  async function readBase(position: number): Promise<Uint8Array> {
    const found = kept.get(position)
    if (found !== undefined) {
      kept.delete(position)
      kept.set(position, found)
      return found
    }
    const { cid, lengthBytes } = await base.blockAt(position)
    const bytes = checked(await getBlock(source, cid, 'base of a delta', signal), lengthBytes)
    kept.set(position, bytes)
    keptBytes += bytes.length
    for (const [oldest, { length }] of kept) {
      if (keptBytes <= KEPT_BYTES) break
      kept.delete(oldest)
      keptBytes -= length
    }
    return bytes
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
  }
}

function sizeOf(targets: readonly PlacedTarget[]): number {
  return targets.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
}

async function gather<Item>(
  items: readonly Item[],
  sizeBytes: number,
  read: (item: Item) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const all = new Uint8Array(sizeBytes)
  let at = 0
  for (let start = 0; start < items.length; start += READS_AT_ONCE)
    for (const bytes of await Promise.all(items.slice(start, start + READS_AT_ONCE).map(read))) {
      all.set(bytes, at)
      at += bytes.length
    }
  return all
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
