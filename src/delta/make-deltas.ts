/**
 * Makes the deltas that bring a site from one snapshot of a tree to another. From the indexes and directories alone it finds
 * what is new and where in the base its like lies; the bytes of new blocks are read once, those of the base only around
 * these places. Each delta that comes out saves enough against sending its blocks compressed; blocks that are in
 * none are better sent as they are.
 *
 * Memory is bounded: tables of the changed blocks (position-table.ts), a few pages of each index, and a few runs in flight.
 * The consumer sets the pace: nothing is made far ahead of what is taken.
 */
import { availableParallelism } from 'node:os'
import type { Cid } from '../block/cid.ts'
import type { NodeSource } from '../dag/reader.ts'
import { decodeSnapshot } from '../dag/snapshot.ts'
import { getBlock } from '../dag/source.ts'
import type { MadeDelta } from './delta.ts'
import type { Efforts } from './encode-delta.ts'
import { DEFAULT_EFFORTS } from './encode-delta.ts'
import { startEncodePool } from './encode-pool.ts'
import { findBases } from './find-bases.ts'
import { findNewBlocks } from './new-blocks.ts'
import { placeUnknown } from './place-unknown.ts'
import { createRunMaker } from './run-maker.ts'
import type { RunSizes } from './runs.ts'
import { groupRuns } from './runs.ts'

export interface DeltaOptions {
  /** Snapshots of one tree, both complete in the source. */
  readonly target: Cid
  readonly base: Cid
  readonly signal?: AbortSignal
  /** Runs that are made at a time, each in a thread of libuv's pool. */
  readonly workers?: number
  readonly sizes?: RunSizes
  readonly efforts?: Efforts
}

/** From the table in docs/deltas.md. */
export const DEFAULT_SIZES: RunSizes = {
  maxRunBytes: 2 * 1024 * 1024,
  maxWindowBytes: 4 * 1024 * 1024,
  marginBytes: 768 * 1024,
}
/** One thread of the pool is left for whoever reads files. */
const MAX_WORKERS = 3
/** Beside those that are worked on: one is read, and one waits. */
const MORE_RUNS = 2

/**
 * In the order of the target's index. None at all when either index has more changed blocks than are held in memory
 * (new-blocks.ts).
 * @throws MirrorError `not-found` when a block of either snapshot is missing, `aborted`, `corrupt`
 */
export async function* makeDeltas(
  { source }: { readonly source: NodeSource },
  {
    target,
    base,
    signal,
    workers = availableParallelism(),
    sizes = DEFAULT_SIZES,
    efforts = DEFAULT_EFFORTS,
  }: DeltaOptions,
): AsyncGenerator<MadeDelta, void, undefined> {
  const after = decodeSnapshot(target, await getBlock(source, target, 'snapshot', signal))
  const before = decodeSnapshot(base, await getBlock(source, base, 'snapshot', signal))
  if (after.index.equals(before.index)) return
  const news = await findNewBlocks(source, { target: after.index, base: before.index }, signal)
  if (news === undefined || news.count === 0) return

  const atOnce = Math.max(1, Math.min(MAX_WORKERS, workers))
  const pool = startEncodePool(atOnce)
  const stopped = new AbortController()
  const within = signal === undefined ? stopped.signal : AbortSignal.any([signal, stopped.signal])
  const parts = { source, news, pool, signal: within }
  const named = findBases(source, { before: before.root, after: after.root }, news, within)
  const maker = createRunMaker(parts, { sizes, efforts })
  const making: Promise<MadeDelta[]>[] = []
  try {
    for await (const run of groupRuns(placeUnknown(named, parts), news.base, sizes)) {
      const made = maker.make(run)
      // Seen when its turn comes; until then it must not count as unhandled.
      made.catch(() => undefined)
      making.push(made)
      if (making.length >= atOnce + MORE_RUNS) yield* await making.shift()!
    }
    for (let next = making.shift(); next !== undefined; next = making.shift()) yield* await next
  } finally {
    stopped.abort()
    await pool.close()
  }
}
