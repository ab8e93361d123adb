/**
 * A snapshot's block index as one long row of bytes: where a block lies (position and address) and what lies at an address.
 * The index is in walk order, so what is near in a file is near here too. Reads pages when they are asked for and keeps a
 * few; of the others it holds what the branches say, about 200 bytes for a thousand blocks.
 */
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import type { IndexedBlock, PageRef } from '../dag/block-index.ts'
import type { NodeSource } from '../dag/reader.ts'
import { listPages, readPage } from '../dag/reader.ts'
import type { BlockRange } from './delta.ts'

export interface MappedPage extends PageRef {
  /** Of its first block. */
  readonly position: number
  /** Of its first byte. */
  readonly address: number
}

export interface PlacedBlock extends IndexedBlock {
  readonly position: number
  readonly address: number
}

export interface IndexMap {
  readonly pages: readonly MappedPage[]
  readonly blocks: number
  readonly sizeBytes: number
  blockAt(position: number): Promise<PlacedBlock>
  /** The block that holds the byte at `address`, which is less than `sizeBytes`. */
  blockHolding(address: number): Promise<PlacedBlock>
  /** All blocks of a page, in order. */
  blocksOf(page: MappedPage): Promise<readonly PlacedBlock[]>
}

/** 1,000 blocks each, 200 KB. */
const KEPT_PAGES = 16
/** Held in memory at a time: 250 million blocks, 16 TB in chunks of 64 KiB. */
export const MAX_PAGES = 256 * 1024

/** @returns undefined when the index has more than MAX_PAGES pages */
export async function openIndexMap(
  source: NodeSource,
  indexRoot: Cid,
  signal?: AbortSignal,
): Promise<IndexMap | undefined> {
  const pages: MappedPage[] = []
  let blocks = 0
  let sizeBytes = 0
  for await (const ref of listPages(source, indexRoot, signal)) {
    if (pages.length === MAX_PAGES) return undefined
    // An empty snapshot has one page without blocks.
    if (ref.blocks === 0) continue
    pages.push({ ...ref, position: blocks, address: sizeBytes })
    blocks += ref.blocks
    sizeBytes += ref.sizeBytes
  }
  const kept = new Map<MappedPage, Promise<readonly PlacedBlock[]>>()

  async function load(page: MappedPage): Promise<readonly PlacedBlock[]> {
    const { blocks: listed } = await readPage(source, page, signal)
    let { position, address } = page
    return listed.map(({ cid, lengthBytes }) => {
      const placed = { cid, lengthBytes, position, address }
      position += 1
      address += lengthBytes
      return placed
    })
  }

  function blocksOf(page: MappedPage): Promise<readonly PlacedBlock[]> {
    let found = kept.get(page)
    if (found === undefined) found = load(page)
    else kept.delete(page)
    kept.set(page, found)
    if (kept.size > KEPT_PAGES) kept.delete(kept.keys().next().value!)
    return found
  }

  return {
    pages,
    blocks,
    sizeBytes,
    blocksOf,
    async blockAt(position) {
      const page = pages[lastAtMost(pages, position, (each) => each.position)]
      const found = page === undefined ? undefined : (await blocksOf(page))[position - page.position]
      if (found === undefined) throw outside(`block ${position} of ${blocks}`)
      return found
    },
    async blockHolding(address) {
      const page = pages[lastAtMost(pages, address, (each) => each.address)]
      if (page === undefined || address >= sizeBytes) throw outside(`byte ${address} of ${sizeBytes}`)
      const listed = await blocksOf(page)
      return listed[lastAtMost(listed, address, (each) => each.address)]!
    },
  }
}

/** Bytes from the first block of a range to its last. */
export async function bytesOf(map: IndexMap, { first, count }: BlockRange): Promise<number> {
  const [from, last] = [await map.blockAt(first), await map.blockAt(first + count - 1)]
  return last.address + last.lengthBytes - from.address
}

/** Index of the last item whose key is at most `key`, or -1; keys ascend. */
function lastAtMost<T>(items: readonly T[], key: number, keyOf: (item: T) => number): number {
  let [low, high] = [0, items.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keyOf(items[middle]!) <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}

function outside(what: string): MirrorError {
  return new MirrorError('internal', `a block index was asked for ${what}`)
}
