/**
 * Groups new blocks into runs that share a window: neighbours of a large file with what surrounds their old places, many small
 * files with all of their old versions, and what is new without a like beside them. A run ends when it, its window or the ranges that name them are full.
 */
import type { BlockRange } from './delta.ts'
import { MAX_DELTA_BLOCKS, MAX_DELTA_RANGES } from './delta.ts'
import type { IndexMap, PlacedBlock } from './index-map.ts'
import type { BaseSpan, PlacedTarget } from './place-blocks.ts'

export interface Run {
  readonly targets: readonly PlacedTarget[]
  /** Positions in the base, ascending and apart. */
  readonly window: readonly BlockRange[]
  readonly windowBytes: number
  readonly lengthBytes: number
}

export interface RunSizes {
  /** Of targets; one that is longer is a run by itself. */
  readonly maxRunBytes: number
  /** Of a window, unless a single block needs more. */
  readonly maxWindowBytes: number
  /** Taken of the old file on both sides of where the blocks are expected. */
  readonly marginBytes: number
}

/** Of the window for one block: a run of several must fit. */
const MAX_PIECE_BLOCKS = MAX_DELTA_BLOCKS / 4

/**
 * Of blocks in a run of which nothing is known: beside others of their folder they take less than by themselves. More of them
 * would be a run without a base.
 */
const MAX_STRAY_BYTES = 256 * 1024

/** A piece of a window while it grows. */
interface Piece {
  readonly first: number
  /** Past the last. */
  readonly end: number
  readonly from: number
  readonly to: number
}

export async function* groupRuns(
  placed: AsyncIterable<PlacedTarget> | Iterable<PlacedTarget>,
  base: IndexMap,
  sizes: RunSizes,
): AsyncGenerator<Run, void, undefined> {
  let targets: PlacedTarget[] = []
  let targetRanges = 0
  let lengthBytes = 0
  let window: readonly Piece[] = []
  /** Waiting for a run to join. */
  let strays: PlacedTarget[] = []
  let strayBytes = 0

  function take(): Run | undefined {
    if (targets.length === 0) return undefined
    const run: Run = {
      targets,
      window: window.map(({ first, end }) => ({ first, count: end - first })),
      windowBytes: sizeOf(window),
      lengthBytes,
    }
    targets = []
    targetRanges = 0
    lengthBytes = 0
    window = []
    strayBytes = 0
    return run
  }

  function isNext({ position }: PlacedTarget): boolean {
    return targets.at(-1)?.position === position - 1
  }

  function hasRoom(target: PlacedTarget): boolean {
    return (
      lengthBytes + target.lengthBytes <= sizes.maxRunBytes &&
      targets.length < MAX_DELTA_BLOCKS &&
      (isNext(target) || targetRanges < MAX_DELTA_RANGES)
    )
  }

  /** The beginning of a file that would be cut in two. */
  function isBetterApart({ within }: PlacedTarget): boolean {
    const last = targets.at(-1)?.within
    if (within === undefined || last === undefined || lengthBytes < sizes.maxRunBytes / 2) return false
    const isSame = within.from === last.from && within.to === last.to
    const fileBytes = within.to - within.from
    return !isSame && fileBytes <= sizes.maxRunBytes && lengthBytes + fileBytes > sizes.maxRunBytes
  }

  function push(target: PlacedTarget): void {
    if (targets.length === 0 || !isNext(target)) targetRanges += 1
    targets.push(target)
    lengthBytes += target.lengthBytes
  }

  function takeStray(target: PlacedTarget): void {
    if (strayBytes + target.lengthBytes > MAX_STRAY_BYTES) return
    if (targets.length === 0) strays.push(target)
    else if (hasRoom(target)) push(target)
    else return
    strayBytes += target.lengthBytes
  }

  for await (const target of placed) {
    const { likely, within } = target
    const isStray = likely === undefined || within === undefined
    const piece = isStray ? undefined : await pieceOf(base, likely, within, sizes)
    if (piece === undefined) {
      takeStray(target)
      continue
    }
    let grown = joined(window, piece)
    if (!hasRoom(target) || isBetterApart(target) || !fits(grown, sizes.maxWindowBytes)) {
      const run = take()
      if (run !== undefined) yield run
      grown = [piece]
    }
    for (const stray of strays) push(stray)
    strays = []
    push(target)
    window = grown
  }
  const last = take()
  if (last !== undefined) yield last
}

/** Whole blocks that hold the span and a margin, within the old file and the bounds of a window. */
async function pieceOf(
  base: IndexMap,
  likely: BaseSpan,
  within: BaseSpan,
  { marginBytes, maxWindowBytes }: RunSizes,
): Promise<Piece | undefined> {
  const spare = Math.max(0, maxWindowBytes - (likely.to - likely.from)) / 2
  const margin = Math.min(marginBytes, spare)
  const from = Math.max(within.from, Math.floor(likely.from - margin))
  const to = Math.min(within.to, Math.ceil(likely.to + margin), base.sizeBytes)
  if (to <= from) return undefined
  let first = await base.blockHolding(from)
  let last = await base.blockHolding(to - 1)
  if (last.position - first.position >= MAX_PIECE_BLOCKS) {
    // Many small blocks: those around the expected place.
    const middle = await base.blockHolding(Math.min(to - 1, Math.max(from, (likely.from + likely.to) / 2)))
    const start = Math.max(first.position, middle.position - MAX_PIECE_BLOCKS / 2)
    const end = Math.min(last.position, start + MAX_PIECE_BLOCKS - 1)
    first = await base.blockAt(start)
    last = await base.blockAt(end)
  }
  // Of whole blocks there may be too much: the end goes that has less of what is looked for.
  while (first.position < last.position && last.address + last.lengthBytes - first.address > maxWindowBytes) {
    if (overlap(first, likely) <= overlap(last, likely)) first = await base.blockAt(first.position + 1)
    else last = await base.blockAt(last.position - 1)
  }
  const end = last.position + 1
  return { first: first.position, end, from: first.address, to: last.address + last.lengthBytes }
}

function overlap({ address, lengthBytes }: PlacedBlock, { from, to }: BaseSpan): number {
  return Math.min(address + lengthBytes, to) - Math.max(address, from)
}

/** In order, and where two touch or overlap they become one. */
function joined(pieces: readonly Piece[], piece: Piece): Piece[] {
  const apart = pieces.filter(({ first, end }) => end < piece.first || first > piece.end)
  const touching = pieces.filter(({ first, end }) => end >= piece.first && first <= piece.end)
  const one = touching.reduce(
    (all, each) => ({
      first: Math.min(all.first, each.first),
      end: Math.max(all.end, each.end),
      from: Math.min(all.from, each.from),
      to: Math.max(all.to, each.to),
    }),
    piece,
  )
  return [...apart, one].sort((a, b) => a.first - b.first)
}

function fits(pieces: readonly Piece[], maxWindowBytes: number): boolean {
  const blocks = pieces.reduce((sum, { first, end }) => sum + end - first, 0)
  return pieces.length <= MAX_DELTA_RANGES && blocks <= MAX_DELTA_BLOCKS && sizeOf(pieces) <= maxWindowBytes
}

function sizeOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { from, to }) => sum + to - from, 0)
}
