/**
 * Makes the deltas of one run. Where the first try saves little the places may be wrong, as after an insertion in mid-file: the
 * anchors of the blocks are then looked for in the old file, and the run is tried again with the windows that they point to.
 * Blocks that look compressed or encrypted spoil a run that they share with others: they are left out of the second try.
 */
import { looksRandom } from '../block/encoding.ts'
import type { NodeSource } from '../dag/reader.ts'
import type { AnchorIndex } from './anchor-index.ts'
import { createAnchorIndex } from './anchor-index.ts'
import { readSpan } from './base-reader.ts'
import type { MadeDelta } from './delta.ts'
import type { Efforts } from './encode-delta.ts'
import type { EncodePool } from './encode-pool.ts'
import type { NewBlocks } from './new-blocks.ts'
import type { BaseSpan, PlacedTarget } from './place-blocks.ts'
import { createRunReader, positionsOf } from './run-reader.ts'
import type { Run, RunSizes } from './runs.ts'
import { groupRuns } from './runs.ts'

export interface RunMaker {
  /** In the order of the target's index; none where nothing is worth it. */
  make(run: Run): Promise<MadeDelta[]>
}

export interface MakerParts {
  readonly source: NodeSource
  readonly news: NewBlocks
  readonly pool: EncodePool
  readonly signal: AbortSignal
}

/** A delta that takes more of its blocks' compressed bytes is tried again. */
const POOR_SHARE = 0.35
/** Of an old file, read for its anchors: on both sides of where the blocks are expected. */
const LOOK_BYTES = 16 * 1024 * 1024
const MAX_ANCHORS = 64 * 1024
/** Runs that follow each other mostly lie in one file. */
const KEPT_INDEXES = 2

export function createRunMaker(
  { source, news, pool, signal }: MakerParts,
  { sizes, efforts }: { readonly sizes: RunSizes; readonly efforts: Efforts },
): RunMaker {
  const reader = createRunReader(source, news.base, signal)
  const indexes = new Map<string, Promise<AnchorIndex>>()

  async function encode(run: Run): Promise<MadeDelta | undefined> {
    const all = await reader.targets(run.targets)
    const kept = withoutRandomStrays(run.targets, all)
    const lengths = kept.map(({ lengthBytes }) => lengthBytes)
    const plainBytes = lengths.reduce((sum, length) => sum + length, 0)
    const window = await reader.window(run)
    const targets = all.subarray(0, plainBytes)
    const { frame, zstdBytes } = await pool.encode({ targets, window, lengths, efforts })
    for (const bytes of [all, window]) reader.giveBack(bytes)
    if (frame === undefined) return undefined
    return { targets: positionsOf(kept), base: run.window, bytes: frame, plainBytes, zstdBytes }
  }

  async function tryAgain(run: Run, hasFailed: boolean): Promise<MadeDelta[]> {
    const targets = await lookAgain(run, hasFailed)
    return targets === undefined ? [] : encodeAll(targets, sizes)
  }

  async function encodeAll(targets: readonly PlacedTarget[], bounds: RunSizes): Promise<MadeDelta[]> {
    const deltas: MadeDelta[] = []
    for await (const run of groupRuns(targets, news.base, bounds)) {
      const delta = await encode(run)
      if (delta !== undefined) deltas.push(delta)
    }
    return deltas
  }

  /** Some of it may be worth a delta, as what lies before the first change of an archive. */
  async function tryHalves({ targets, lengthBytes }: Run): Promise<MadeDelta[]> {
    const halves = { ...sizes, maxRunBytes: sizes.maxRunBytes / 2 }
    return lengthBytes <= halves.maxRunBytes ? [] : encodeAll(targets, halves)
  }

  /** The blocks with better places; undefined when there is nothing new to try. */
  async function lookAgain(run: Run, hasFailed: boolean): Promise<PlacedTarget[] | undefined> {
    const bytes = await reader.targets(run.targets)
    let isNew = false
    const targets: PlacedTarget[] = []
    let at = 0
    for (const group of groupsOf(run.targets)) {
      const lengths = group.map(({ lengthBytes }) => lengthBytes)
      const end = at + lengths.reduce((sum, length) => sum + length, 0)
      const own = bytes.subarray(at, end)
      const places = await placesOf(group, own, lengths)
      let from = 0
      for (const [i, target] of group.entries()) {
        const block = own.subarray(from, from + target.lengthBytes)
        from += target.lengthBytes
        const place = places[i]
        if (place !== undefined && isElsewhere(place, target.likely)) {
          isNew = true
          targets.push({ ...target, likely: place })
        } else if (hasFailed && looksRandom(block)) isNew = true
        else targets.push(target)
      }
      at = end
    }
    reader.giveBack(bytes)
    return isNew && targets.length > 0 ? targets : undefined
  }

  /** Only where the old file is more than what the window held of it. */
  async function placesOf(
    group: readonly PlacedTarget[],
    bytes: Uint8Array,
    lengths: readonly number[],
  ): Promise<(BaseSpan | undefined)[]> {
    const { within, likely } = group[0]!
    if (within === undefined || likely === undefined || within.to - within.from <= 2 * sizes.marginBytes)
      return []
    const index = await indexOf({
      from: Math.max(within.from, roundDown(likely.from - LOOK_BYTES)),
      to: Math.min(within.to, roundDown(likely.to + LOOK_BYTES) + LOOK_BYTES / 2),
    })
    return index.locate(bytes, lengths)
  }

  function indexOf(span: BaseSpan): Promise<AnchorIndex> {
    const key = `${span.from} ${span.to}`
    let found = indexes.get(key)
    if (found === undefined) {
      found = readAnchors(span)
      found.catch(() => undefined)
      if (indexes.size >= KEPT_INDEXES) indexes.delete(indexes.keys().next().value!)
      indexes.set(key, found)
    }
    return found
  }

  async function readAnchors(span: BaseSpan): Promise<AnchorIndex> {
    const index = createAnchorIndex(MAX_ANCHORS)
    for await (const { bytes, address } of readSpan(source, news.base, span, signal))
      index.add(bytes, address)
    return index
  }

  function isElsewhere(place: BaseSpan, likely: BaseSpan | undefined): boolean {
    return likely === undefined || Math.abs(place.from - likely.from) > sizes.marginBytes / 2
  }

  return {
    async make(run) {
      const first = await encode(run)
      if (first !== undefined && first.bytes.length <= first.zstdBytes * POOR_SHARE) return [first]
      const again = await tryAgain(run, first === undefined)
      if (first === undefined && again.length === 0) return tryHalves(run)
      const tried = first === undefined ? [] : [first]
      return savedBytes(again) > savedBytes(tried) ? again : tried
    },
  }
}

/** What is compressed already gains nothing beside others. `bytes` are moved together. */
function withoutRandomStrays(targets: readonly PlacedTarget[], bytes: Uint8Array): readonly PlacedTarget[] {
  if (targets.every(({ likely }) => likely !== undefined)) return targets
  let [at, end] = [0, 0]
  return targets.filter(({ likely, lengthBytes }) => {
    const start = at
    at += lengthBytes
    if (likely === undefined && looksRandom(bytes.subarray(start, at))) return false
    if (end < start) bytes.copyWithin(end, start, at)
    end += lengthBytes
    return true
  })
}

/** By the old file that they are expected in. */
function groupsOf(targets: readonly PlacedTarget[]): PlacedTarget[][] {
  const groups: PlacedTarget[][] = []
  for (const target of targets) {
    const last = groups.at(-1)
    const within = last?.at(0)?.within
    if (last !== undefined && within?.from === target.within?.from && within?.to === target.within?.to)
      last.push(target)
    else groups.push([target])
  }
  return groups
}

/** So that the runs of one stretch of a huge file share an index. */
function roundDown(address: number): number {
  return Math.floor(address / (LOOK_BYTES / 2)) * (LOOK_BYTES / 2)
}

function savedBytes(deltas: readonly MadeDelta[]): number {
  return deltas.reduce((sum, { bytes, zstdBytes }) => sum + zstdBytes - bytes.length, 0)
}
