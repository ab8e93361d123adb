/**
 * Where in the base the blocks of a new file have their like. Blocks that the base holds too are landmarks: what is new between
 * two of them is looked for between their places there, so that an insertion shifts all that follows. Without landmarks the same
 * relative place is taken. The base is one row of bytes (index-map.ts), and the old file a stretch of it.
 */
import type { Cid } from '../block/cid.ts'
import type { FileBlock } from './file-blocks.ts'
import type { NewBlocks } from './new-blocks.ts'

/** A stretch of the base, in addresses. */
export interface BaseSpan {
  readonly from: number
  readonly to: number
}

/** A block of the target that the base lacks. */
export interface PlacedTarget {
  readonly cid: Cid
  readonly lengthBytes: number
  /** In the target's index. */
  readonly position: number
  /** Where its like is expected; absent where nothing is known. */
  readonly likely?: BaseSpan
  /** Of the old file, or of the old nodes of the directory, which surrounds `likely`. */
  readonly within?: BaseSpan
}

interface Gap {
  readonly blocks: { readonly cid: Cid; readonly lengthBytes: number; readonly position: number }[]
  /** Offset in the stretch of its first byte, and its bytes. */
  readonly offset: number
  lengthBytes: number
  /** Where the base goes on after the landmark before it. */
  readonly left: number | undefined
}

interface Bounds {
  readonly within: BaseSpan | undefined
  readonly sizeBytes: number
  readonly wholeBase: BaseSpan
}

/** Held until a landmark comes: 256 MB of a file in chunks of 64 KiB. */
const MAX_GAP_BLOCKS = 4096
/** Where old and new differ by no more than this, a block is looked for at its distance from either landmark. */
const NEAR_BYTES = 256 * 1024
/** As far from a landmark its neighbours in the base are taken for those of the gap. */
const BESIDE_BYTES = 512 * 1024

/**
 * @param within what the stretch likely came from
 * @param sizeBytes of the whole stretch, about
 * @param wantedPosition of a block that is new and was not met before
 */
export async function* placeBlocks(
  stretch: AsyncIterable<FileBlock> | Iterable<FileBlock>,
  {
    news,
    within,
    sizeBytes,
    wantedPosition,
  }: {
    readonly news: NewBlocks
    readonly within: BaseSpan | undefined
    readonly sizeBytes: number
    readonly wantedPosition: (cid: Cid) => number | undefined
  },
): AsyncGenerator<PlacedTarget, void, undefined> {
  const bounds: Bounds = { within, sizeBytes, wholeBase: { from: 0, to: news.base.sizeBytes } }
  let offset = 0
  let gap: Gap | undefined
  let left = within?.from
  let before: FileBlock | undefined

  async function landmark(block: FileBlock): Promise<BaseSpan | undefined> {
    const position = within === undefined ? await news.basePosition(block.cid) : news.landmark(block.cid)
    if (position === undefined) return undefined
    const { address, lengthBytes } = await news.base.blockAt(position)
    const to = address + lengthBytes
    const span = { from: Math.max(0, to - block.lengthBytes), to }
    return within === undefined || (span.from >= within.from && span.to <= within.to) ? span : undefined
  }

  for await (const block of stretch) {
    const position = wantedPosition(block.cid)
    if (position !== undefined) {
      if (gap === undefined) {
        const known = before === undefined ? undefined : await landmark(before)
        left = known?.to ?? (within === undefined ? undefined : left)
        gap = { blocks: [], offset, lengthBytes: 0, left }
      }
      gap.blocks.push({ cid: block.cid, lengthBytes: block.lengthBytes, position })
      gap.lengthBytes += block.lengthBytes
      if (gap.blocks.length >= MAX_GAP_BLOCKS) {
        const placed = place(gap, undefined, bounds)
        left = placed.at(-1)?.likely?.to ?? left
        yield* placed
        gap = undefined
      }
    } else if (gap !== undefined) {
      const known = await landmark(block)
      const right = known !== undefined && known.from >= (gap.left ?? 0) ? known.from : undefined
      const placed = place(gap, right, bounds)
      left = placed.at(-1)?.likely?.to ?? left
      yield* placed
      gap = undefined
    }
    before = position === undefined ? block : undefined
    offset += block.lengthBytes
  }
  if (gap !== undefined) yield* place(gap, undefined, bounds)
}

function place(
  gap: Gap,
  right: number | undefined,
  { within, sizeBytes, wholeBase }: Bounds,
): PlacedTarget[] {
  if (within === undefined) return placeBeside(gap, right, wholeBase)
  if (gap.left === undefined) return gap.blocks
  const from = Math.min(gap.left, within.to)
  // Without a landmark behind it, the gap is the beginning of all that is left.
  const newBytes = right === undefined ? Math.max(gap.lengthBytes, sizeBytes - gap.offset) : gap.lengthBytes
  const oldBytes = (right ?? within.to) - from
  let at = 0
  return gap.blocks.map((block) => {
    const [start, end] = [at, at + block.lengthBytes]
    at = end
    return { ...block, within, likely: clip(likelySpan(from, { start, end, newBytes, oldBytes }), within) }
  })
}

/** Nothing is known of the file, but what stands beside the gap is in the base, and what was beside it there may be like it. */
function placeBeside(gap: Gap, right: number | undefined, wholeBase: BaseSpan): PlacedTarget[] {
  let at = 0
  return gap.blocks.map((block) => {
    const [start, left] = [at, gap.left]
    at += block.lengthBytes
    const after = gap.lengthBytes - at
    const isNearLeft = left !== undefined && start <= BESIDE_BYTES && (right === undefined || start <= after)
    if (!isNearLeft && (right === undefined || after > BESIDE_BYTES)) return block
    const from = isNearLeft ? left + start : right! - after - block.lengthBytes
    return { ...block, within: wholeBase, likely: clip({ from, to: from + block.lengthBytes }, wholeBase) }
  })
}

function likelySpan(
  from: number,
  {
    start,
    end,
    newBytes,
    oldBytes,
  }: { readonly start: number; readonly end: number; readonly newBytes: number; readonly oldBytes: number },
): BaseSpan {
  const shift = oldBytes - newBytes
  if (Math.abs(shift) <= NEAR_BYTES)
    return { from: from + start + Math.min(0, shift), to: from + end + Math.max(0, shift) }
  const scale = oldBytes / newBytes
  const middle = from + ((start + end) / 2) * scale
  const half = (end - start) / 2
  return { from: Math.floor(middle - half), to: Math.ceil(middle + half) }
}

function clip({ from, to }: BaseSpan, within: BaseSpan): BaseSpan {
  const start = Math.min(Math.max(from, within.from), within.to)
  return { from: start, to: Math.max(start, Math.min(to, within.to)) }
}
