/**
 * Finds where in a block index a block stands, so that it can be asked for by its position. An index has no order by CID, but
 * the one in which its tree is walked, children before their parents: what a reader comes to is mostly near what it came to
 * before, and before it. So the search begins there, goes towards the beginning, a few pages at a time, and looks
 * behind only at the end. Pages that were read are kept, as far as there is room.
 */
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { IndexNode, IndexPage } from '../../dag/block-index.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import type { NodeSource } from '../../dag/source.ts'
import { getBlock } from '../../dag/source.ts'

export interface BlockPosition {
  readonly page: Cid
  readonly offset: number
  readonly lengthBytes: number
}

export interface IndexSearch {
  /** Undefined: the index does not list the block. */
  find(cid: Cid, signal?: AbortSignal): Promise<BlockPosition | undefined>
}

/** A page has about a thousand blocks, 300 bytes each here. */
const MAX_PAGES = 32
const MAX_BRANCHES = 16
/** Read at a time, once the first few were in vain. */
const MAX_BATCH = 8

interface OpenPage {
  readonly page: IndexPage
  readonly first: number
  /** Offset of each block. */
  readonly offsets: ReadonlyMap<string, number>
}

/** A page by what its parents say. */
interface PlacedPage {
  readonly cid: Cid
  readonly first: number
  readonly blocks: number
}

export function createIndexSearch(source: NodeSource, root: Cid): IndexSearch {
  const pages = new Map<string, OpenPage>()
  const branches = new Map<string, Extract<IndexNode, { kind: 'branch' }>>()
  /** Position behind the block that was found last; undefined before the first. */
  let anchor: number | undefined

  async function read(cid: Cid, signal: AbortSignal | undefined): Promise<IndexNode> {
    return decodeIndexNode(cid, await getBlock(source, cid, 'block index', signal))
  }

  async function branch(cid: Cid, signal: AbortSignal | undefined) {
    const key = cidKey(cid)
    const known = branches.get(key)
    if (known !== undefined) return known
    const node = await read(cid, signal)
    if (node.kind === 'page') return node
    keep(branches, key, node, MAX_BRANCHES)
    return node
  }

  async function openPage(
    { cid, first, blocks }: PlacedPage,
    signal: AbortSignal | undefined,
  ): Promise<OpenPage> {
    const key = cidKey(cid)
    const known = pages.get(key)
    if (known !== undefined) return known
    const node = await read(cid, signal)
    if (node.kind !== 'page' || node.page.blocks.length !== blocks) throw notAsClaimed(cid)
    const offsets = new Map(node.page.blocks.map((block, offset) => [cidKey(block.cid), offset]))
    const open = { page: node.page, first, offsets }
    keep(pages, key, open, MAX_PAGES)
    return open
  }

  async function totalBlocks(signal: AbortSignal | undefined): Promise<number> {
    const node = await branch(root, signal)
    if (node.kind === 'page') return node.page.blocks.length
    return node.children.reduce((sum, { blocks }) => sum + blocks, 0)
  }

  async function pageAt(position: number, signal: AbortSignal | undefined): Promise<PlacedPage> {
    let cid = root
    let first = 0
    let level: number | undefined
    for (;;) {
      const node = await branch(cid, signal)
      const found = node.kind === 'page' ? 0 : node.level
      if (level !== undefined && found !== level) throw notAsClaimed(cid)
      if (node.kind === 'page') return { cid, first, blocks: node.page.blocks.length }
      const child = node.children.find(({ blocks }) => {
        if (position < first + blocks) return true
        first += blocks
        return false
      })
      if (child === undefined) throw notAsClaimed(cid)
      if (node.level === 1) return { cid: child.cid, first, blocks: child.blocks }
      cid = child.cid
      level = node.level - 1
    }
  }

  /** Looks through the pages from `from` on, downwards to 0 or upwards to `end`. */
  async function search(
    key: string,
    { from, end, step }: { from: number; end: number; step: 1 | -1 },
    signal: AbortSignal | undefined,
  ): Promise<OpenPage | undefined> {
    let at = from
    for (let batch = 1; step < 0 ? at > end : at < end; batch = Math.min(MAX_BATCH, batch * 2)) {
      const placed: PlacedPage[] = []
      while (placed.length < batch && (step < 0 ? at > end : at < end)) {
        const page = await pageAt(step < 0 ? at - 1 : at, signal)
        placed.push(page)
        at = step < 0 ? page.first : page.first + page.blocks
      }
      const open = await Promise.all(placed.map((page) => openPage(page, signal)))
      const found = open.find(({ offsets }) => offsets.has(key))
      if (found !== undefined) return found
    }
    return undefined
  }

  return {
    async find(cid, signal) {
      const key = cidKey(cid)
      let found = [...pages.values()].find(({ offsets }) => offsets.has(key))
      if (found === undefined) {
        const total = await totalBlocks(signal)
        const from = anchor ?? total
        found =
          (await search(key, { from, end: 0, step: -1 }, signal)) ??
          (await search(key, { from, end: total, step: 1 }, signal))
      }
      if (found === undefined) return undefined
      const offset = found.offsets.get(key)!
      anchor = found.first + offset + 1
      return { page: found.page.cid, offset, lengthBytes: found.page.blocks[offset]!.lengthBytes }
    },
  }
}

function keep<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  if (map.size >= max) map.delete(map.keys().next().value!)
  map.set(key, value)
}

function notAsClaimed(cid: Cid): MirrorError {
  return new MirrorError('corrupt', `index node ${cid.toString()} is not what its parent says of it`)
}
