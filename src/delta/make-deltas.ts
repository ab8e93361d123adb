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
import type { FileEntry } from '../dag/entry.ts'
import type { NodeSource } from '../dag/reader.ts'
import { fileParts } from '../dag/reader.ts'
import { decodeSnapshot } from '../dag/snapshot.ts'
import { getBlock } from '../dag/source.ts'
import type { ChangedItem } from './changed-items.ts'
import { changedItems } from './changed-items.ts'
import type { MadeDelta } from './delta.ts'
import type { Effort } from './encode-delta.ts'
import { DEFAULT_EFFORT } from './encode-delta.ts'
import { startEncodePool } from './encode-pool.ts'
import type { FileBlock } from './file-blocks.ts'
import { fileBlocks } from './file-blocks.ts'
import type { NewBlocks } from './new-blocks.ts'
import { findNewBlocks } from './new-blocks.ts'
import type { BaseSpan, PlacedTarget } from './place-blocks.ts'
import { placeBlocks } from './place-blocks.ts'
import { createRunReader, positionsOf } from './run-reader.ts'
import type { RunSizes } from './runs.ts'
import { groupRuns } from './runs.ts'

export interface DeltaOptions {
  /** Snapshots of one tree, both complete in the source. */
  readonly target: Cid
  readonly base: Cid
  readonly signal?: AbortSignal
  /** Threads; 0 makes them on the caller's own. */
  readonly workers?: number
  readonly sizes?: RunSizes
  readonly effort?: Effort
}

/** From the table in docs/deltas.md. */
export const DEFAULT_SIZES: RunSizes = {
  maxRunBytes: 1024 * 1024,
  maxWindowBytes: 2 * 1024 * 1024,
  marginBytes: 256 * 1024,
}
const MAX_WORKERS = 4

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
    workers = Math.min(MAX_WORKERS, availableParallelism()),
    sizes = DEFAULT_SIZES,
    effort = DEFAULT_EFFORT,
  }: DeltaOptions,
): AsyncGenerator<MadeDelta, void, undefined> {
  const after = decodeSnapshot(target, await getBlock(source, target, 'snapshot', signal))
  const before = decodeSnapshot(base, await getBlock(source, base, 'snapshot', signal))
  if (after.index.equals(before.index)) return
  const news = await findNewBlocks(source, { target: after.index, base: before.index }, signal)
  if (news === undefined || news.count === 0) return

  const placed = placeAll(source, { before: before.root, after: after.root }, news, signal)
  const reader = createRunReader(source, news.base, signal)
  const pool = startEncodePool(workers)
  const making: Promise<MadeDelta | undefined>[] = []
  try {
    for await (const run of groupRuns(placed, news.base, sizes)) {
      const { targets, window } = await reader.read(run)
      const lengths = run.targets.map(({ lengthBytes }) => lengthBytes)
      const made = pool.encode({ targets, window, lengths, effort }).then(({ frame, zstdBytes }) => {
        if (frame === undefined) return undefined
        const delta: MadeDelta = {
          targets: positionsOf(run.targets),
          base: run.window,
          bytes: frame,
          plainBytes: run.lengthBytes,
          zstdBytes,
        }
        return delta
      })
      // Seen when its turn comes; until then it must not count as unhandled.
      made.catch(() => undefined)
      making.push(made)
      if (making.length > 2 * workers) {
        const delta = await making.shift()
        if (delta !== undefined) yield delta
      }
    }
    for (let next = making.shift(); next !== undefined; next = making.shift()) {
      const delta = await next
      if (delta !== undefined) yield delta
    }
  } finally {
    await pool.close()
  }
}

/** Each new block once, in the order of the target's index. */
async function* placeAll(
  source: NodeSource,
  roots: Parameters<typeof changedItems>[1],
  news: NewBlocks,
  signal: AbortSignal | undefined,
): AsyncGenerator<PlacedTarget, void, undefined> {
  let lastPosition = -1
  const wantedPosition = (cid: Cid): number | undefined => {
    const position = news.newPosition(cid)
    return position !== undefined && position > lastPosition ? position : undefined
  }
  const isWanted = (cid: Cid): boolean => wantedPosition(cid) !== undefined
  for await (const item of changedItems(source, roots, isWanted, signal)) {
    const stretch = await stretchOf(source, item, news, isWanted, signal)
    for await (const target of placeBlocks(stretch.blocks, { ...stretch, news, wantedPosition })) {
      // The walk and the index have one order; a block that an earlier one named again comes once.
      if (target.position <= lastPosition) continue
      lastPosition = target.position
      yield target
    }
  }
}

interface Stretch {
  readonly blocks: AsyncIterable<FileBlock> | Iterable<FileBlock>
  readonly within: BaseSpan | undefined
  readonly sizeBytes: number
}

async function stretchOf(
  source: NodeSource,
  item: ChangedItem,
  news: NewBlocks,
  isWanted: (cid: Cid) => boolean,
  signal: AbortSignal | undefined,
): Promise<Stretch> {
  if (item.kind === 'file') {
    const { before, after } = item
    return {
      blocks: fileBlocks(source, after, isWanted, signal),
      within: before === undefined ? undefined : await spanOfFile(source, before, news, signal),
      sizeBytes: after.sizeBytes,
    }
  }
  const positions = item.after.flatMap((cid) => news.newPosition(cid) ?? [])
  const blocks = await Promise.all(positions.sort((a, b) => a - b).map((at) => news.target.blockAt(at)))
  const olds = item.before.flatMap((cid) => news.landmark(cid) ?? [])
  return {
    blocks,
    within: await spanOfNodes(olds, news),
    sizeBytes: blocks.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
  }
}

/** Where the old file lies: its root node or only chunk is the last of its blocks. */
async function spanOfFile(
  source: NodeSource,
  file: FileEntry,
  news: NewBlocks,
  signal: AbortSignal | undefined,
): Promise<BaseSpan | undefined> {
  if (file.content === undefined) return undefined
  const last = await news.basePosition(file.content)
  if (last === undefined) return undefined
  const { address, lengthBytes } = await news.base.blockAt(last)
  const to = address + lengthBytes
  if (lengthBytes === file.sizeBytes) return { from: address, to }
  // Its first chunk may stand with an earlier file that has the same one.
  for await (const first of fileParts(source, file, { startByte: 0, endByte: 1 }, signal)) {
    const position = await news.basePosition(first.cid)
    const from = position === undefined ? undefined : (await news.base.blockAt(position)).address
    if (from !== undefined && from < to && to - from <= 2 * file.sizeBytes) return { from, to }
  }
  return { from: Math.max(0, to - file.sizeBytes), to }
}

async function spanOfNodes(positions: readonly number[], news: NewBlocks): Promise<BaseSpan | undefined> {
  if (positions.length === 0) return undefined
  const blocks = await Promise.all(positions.map((at) => news.base.blockAt(at)))
  return {
    from: Math.min(...blocks.map(({ address }) => address)),
    to: Math.max(...blocks.map(({ address, lengthBytes }) => address + lengthBytes)),
  }
}
