/**
 * What one batch says when files of a backing become another's, with the blocks that lie in them: at each instant, and after
 * a crash, the files and their blocks are the one's or the other's. What a file may hold and does not is left out, and a
 * file that holds nothing any more.
 */
import type { FilePlace, Index, IndexOperation } from '../index/index.ts'
import { blockIndexKey, encodePlace } from '../index/index.ts'
import type { StoredBacking, StoredRange } from './backing-values.ts'
import { backingRange, decodeRange, encodeRange, fileKey, rangeKey } from './backing-values.ts'

/** Of one batch, but for the rest of a file. */
const MOVE_BLOCKS = 4096

export interface PlannedMove {
  readonly operations: readonly IndexOperation[]
  /** Of the blocks that go along. */
  readonly keys: readonly Uint8Array[]
  /** Of the backing that takes them. */
  readonly nextFileId: number
  /** So many of the files, from the first on, are in it. */
  readonly files: number
}

export async function planMove(
  {
    index,
    heldOf,
  }: {
    readonly index: Pick<Index, 'getMany' | 'entries'>
    /** Those of them that do lie there. */
    readonly heldOf: (
      backingId: number,
      ranges: readonly StoredRange[],
    ) => Promise<readonly { readonly key: Uint8Array; readonly place: FilePlace }[]>
  },
  {
    from,
    to,
    fileIds,
  }: {
    readonly from: number
    readonly to: Pick<StoredBacking, 'id' | 'nextFileId'>
    /** Rising. */
    readonly fileIds: readonly number[]
  },
): Promise<PlannedMove> {
  const { ranges, afterId } = await readRanges(index, from, fileIds)
  const taken = fileIds.filter((fileId) => fileId < afterId)
  const values = await index.getMany(taken.map((fileId) => fileKey(from, fileId)))
  const operations: IndexOperation[] = ranges.map(({ fileId, offset }) => ({
    type: 'del',
    key: rangeKey(from, fileId, offset),
  }))
  const keys: Uint8Array[] = []
  const numbers = new Map<number, number>()
  let { nextFileId } = to
  for (const { key, place } of await heldOf(from, ranges)) {
    const fileId = numbers.get(place.fileId) ?? nextFileId++
    numbers.set(place.fileId, fileId)
    const value = encodeRange(key, place.lengthBytes)
    operations.push({ type: 'put', key: rangeKey(to.id, fileId, place.offset), value })
    const moved = encodePlace({ ...place, backingId: to.id, fileId })
    operations.push({ type: 'put', key: blockIndexKey(key), value: moved })
    keys.push(key)
  }
  for (const [i, fileId] of taken.entries()) {
    const [value, number] = [values[i], numbers.get(fileId)]
    operations.push({ type: 'del', key: fileKey(from, fileId) })
    if (value !== undefined && number !== undefined)
      operations.push({ type: 'put', key: fileKey(to.id, number), value })
  }
  return { operations, keys, nextFileId, files: taken.length }
}

/** What the first of the files may hold. @returns also the first file whose blocks are not among them */
async function readRanges(
  index: Pick<Index, 'entries'>,
  backingId: number,
  fileIds: readonly number[],
): Promise<{ ranges: StoredRange[]; afterId: number }> {
  const ranges: StoredRange[] = []
  for (const [first, last] of spansOf(fileIds)) {
    for await (const [key, value] of index.entries(backingRange('blocks', backingId, first, last))) {
      const range = decodeRange(key, value)
      if (ranges.length >= MOVE_BLOCKS && range.fileId !== ranges.at(-1)!.fileId)
        return { ranges, afterId: range.fileId }
      ranges.push(range)
    }
  }
  return { ranges, afterId: Number.POSITIVE_INFINITY }
}

/** Of rising numbers, those that follow each other: first and last. */
function spansOf(numbers: readonly number[]): [first: number, last: number][] {
  const spans: [number, number][] = []
  for (const number of numbers) {
    const span = spans.at(-1)
    if (span?.[1] === number - 1) span[1] = number
    else spans.push([number, number])
  }
  return spans
}
