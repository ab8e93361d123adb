/**
 * What a snapshot has that its base lacks, from the two block indexes alone. Pages that both list are passed over unread:
 * an index has each block once, so what stands in a shared page stands in no other page of either. Time and memory follow the
 * change, not the size.
 */
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { NodeSource } from '../dag/reader.ts'
import type { IndexMap, MappedPage, PlacedBlock } from './index-map.ts'
import { openIndexMap } from './index-map.ts'
import { createPositionTable } from './position-table.ts'

export interface NewBlocks {
  readonly target: IndexMap
  readonly base: IndexMap
  readonly count: number
  /** Position in the target of a block that the base lacks, else undefined. */
  newPosition(cid: Cid): number | undefined
  /** Position in the base of a block in one of its changed pages: of whatever stands beside new blocks, almost always. */
  landmark(cid: Cid): number | undefined
  /** Blocks of the base that the target lacks, in order. */
  removedBlocks(): AsyncGenerator<PlacedBlock, void, undefined>
  /** Position in the base. The first one that is asked for of an unchanged page makes all pages be read. */
  basePosition(cid: Cid): Promise<number | undefined>
}

/** In the changed pages of either index, and in all that is looked up: 50 MB each, 128 GB in chunks of 64 KiB. */
const MAX_BLOCKS = 2 * 1024 * 1024

/** @returns undefined when either index is beyond what is held in memory */
export async function findNewBlocks(
  source: NodeSource,
  indexes: { readonly target: Cid; readonly base: Cid },
  signal?: AbortSignal,
): Promise<NewBlocks | undefined> {
  const target = await openIndexMap(source, indexes.target, signal)
  const base = await openIndexMap(source, indexes.base, signal)
  if (target === undefined || base === undefined) return undefined
  const [changed, unchanged] = split(base.pages, target.pages)
  const [candidates] = split(target.pages, base.pages)
  if (countIn(changed) > MAX_BLOCKS || countIn(candidates) > MAX_BLOCKS) return undefined

  const old = createPositionTable()
  await addPages(changed)
  const fresh = createPositionTable()
  const kept = new Uint8Array(Math.ceil(base.blocks / 8))
  for (const page of candidates)
    for (const { cid, position } of await target.blocksOf(page)) {
      const at = old.find(cid)
      if (at === undefined) fresh.add(cid, position)
      else kept[at >>> 3]! |= 1 << (at & 7)
    }

  async function addPages(pages: readonly MappedPage[]): Promise<void> {
    for (const page of pages)
      for (const { cid, position } of await base!.blocksOf(page)) old.add(cid, position)
  }

  let rest: Promise<void> | undefined
  return {
    target,
    base,
    count: fresh.size,
    newPosition: (cid) => fresh.find(cid),
    landmark: (cid) => old.find(cid),
    async *removedBlocks() {
      for (const page of changed)
        for (const block of await base.blocksOf(page))
          if ((kept[block.position >>> 3]! & (1 << (block.position & 7))) === 0) yield block
    },
    async basePosition(cid) {
      const found = old.find(cid)
      if (found !== undefined || base.blocks > MAX_BLOCKS) return found
      rest ??= addPages(unchanged)
      await rest
      return old.find(cid)
    },
  }
}

/** The pages that `others` lack, and those that they have. */
function split(pages: readonly MappedPage[], others: readonly MappedPage[]): [MappedPage[], MappedPage[]] {
  const known = new Set(others.map(({ cid }) => cidKey(cid)))
  const [own, shared]: [MappedPage[], MappedPage[]] = [[], []]
  for (const page of pages) (known.has(cidKey(page.cid)) ? shared : own).push(page)
  return [own, shared]
}

function countIn(pages: readonly MappedPage[]): number {
  return pages.reduce((sum, page) => sum + page.blocks, 0)
}
