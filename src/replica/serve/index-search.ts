/**
 * Finds where in a block index a block stands, so that it can be asked for by its position. An index has no order by CID, but
 * the one in which its tree is walked, children before their parents: what a reader comes to is mostly near what it came to
 * before, and before it. So the search begins there, goes towards the beginning, a few pages at a time, and looks
 * behind only at the end. Pages that were read are kept, as far as there is room.
 *
 * Readers come to blocks in any order that they like, and must not cost a walk through the index each time: of every page that was
 * read it is remembered what it may list (page-fingerprints.ts), so that a page is read for the sake of blocks that it does not list
 * once. One search at a time looks for new pages: what is learned by it serves those that wait.
 */
import { MirrorError } from '../../base/errors.ts'
import { Semaphore } from '../../base/semaphore.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { IndexNode, IndexPage } from '../../dag/block-index.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import type { NodeSource } from '../../dag/source.ts'
import { getBlock } from '../../dag/source.ts'
import { createPageFingerprints, type PageFingerprints } from './page-fingerprints.ts'

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
/** Read at a time, once the first few were in vain. */
const MAX_BATCH = 8

interface OpenPage {
  readonly page: IndexPage
  readonly first: number
  /** Offset of each block. */
  readonly offsets: ReadonlyMap<string, number>
}

/** A node of the index by what its parent says. */
interface Placed {
  readonly cid: Cid
  readonly key: string
  /** Position of its first block. */
  readonly first: number
  readonly blocks: number
  /** Of a page 0. */
  readonly level: number
  /** Once it was read. */
  children?: readonly Placed[]
}

/** @param fingerprints may be shared with searches of other indexes */
export function createIndexSearch(
  source: NodeSource,
  root: Cid,
  fingerprints: PageFingerprints = createPageFingerprints(),
): IndexSearch {
  const pages = new Map<string, OpenPage>()
  const turn = new Semaphore(1)
  let top: Placed | undefined
  /** Position behind the block that was found last; undefined before the first. */
  let anchor: number | undefined

  async function read(cid: Cid, signal: AbortSignal | undefined): Promise<IndexNode> {
    return decodeIndexNode(cid, await getBlock(source, cid, 'block index', signal))
  }

  async function openPage(
    { cid, key, first, blocks }: Placed,
    signal: AbortSignal | undefined,
  ): Promise<OpenPage> {
    const known = pages.get(key)
    if (known !== undefined) return known
    const node = await read(cid, signal)
    if (node.kind !== 'page' || node.page.blocks.length !== blocks) throw notAsClaimed(cid)
    const offsets = new Map(node.page.blocks.map((block, offset) => [cidKey(block.cid), offset]))
    const open = { page: node.page, first, offsets }
    fingerprints.note(
      key,
      node.page.blocks.map((block) => block.cid),
    )
    keep(pages, key, open, MAX_PAGES)
    return open
  }

  async function readTop(signal: AbortSignal | undefined): Promise<Placed> {
    if (top !== undefined) return top
    const node = await read(root, signal)
    const blocks =
      node.kind === 'page'
        ? node.page.blocks.length
        : node.children.reduce((sum, child) => sum + child.blocks, 0)
    const level = node.kind === 'page' ? 0 : node.level
    top = { cid: root, key: cidKey(root), first: 0, blocks, level }
    return top
  }

  async function childrenOf(placed: Placed, signal: AbortSignal | undefined): Promise<readonly Placed[]> {
    if (placed.children !== undefined) return placed.children
    const node = await read(placed.cid, signal)
    if (node.kind === 'page' || node.level !== placed.level) throw notAsClaimed(placed.cid)
    let { first } = placed
    const children = node.children.map(({ cid, blocks }) => {
      const child = { cid, key: cidKey(cid), first, blocks, level: node.level - 1 }
      first += blocks
      return child
    })
    if (first !== placed.first + placed.blocks) throw notAsClaimed(placed.cid)
    placed.children = children
    return children
  }

  /** The pages that begin before a position, the last first; or those that begin at it or behind it. */
  async function* pagesFrom(
    placed: Placed,
    { position, step }: { readonly position: number; readonly step: 1 | -1 },
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Placed, void, undefined> {
    const isOut = step < 0 ? placed.first >= position : placed.first + placed.blocks <= position
    if (isOut) return
    if (placed.level === 0) {
      if (step < 0 || placed.first >= position) yield placed
      return
    }
    const children = await childrenOf(placed, signal)
    for (const child of step < 0 ? children.toReversed() : children)
      yield* pagesFrom(child, { position, step }, signal)
  }

  /** Looks through the pages, in this order, that may list the block. */
  async function search(
    cid: Cid,
    placed: AsyncIterable<Placed>,
    signal: AbortSignal | undefined,
  ): Promise<OpenPage | undefined> {
    const key = cidKey(cid)
    let due: Placed[] = []
    let batch = 1
    const look = async (): Promise<OpenPage | undefined> => {
      const open = await Promise.all(due.map((page) => openPage(page, signal)))
      due = []
      return open.find(({ offsets }) => offsets.has(key))
    }
    for await (const page of placed) {
      const mayHave = fingerprints.mayHave(page.key, cid)
      if (mayHave === false) continue
      due.push(page)
      // One that is said to have it is read alone: it has, but for one in millions.
      if (due.length < batch && mayHave !== true) continue
      const found = await look()
      if (found !== undefined) return found
      batch = Math.min(MAX_BATCH, batch * 2)
    }
    return look()
  }

  async function searchAll(cid: Cid, signal: AbortSignal | undefined): Promise<OpenPage | undefined> {
    const from = await readTop(signal)
    const position = anchor ?? from.blocks
    return (
      (await search(cid, pagesFrom(from, { position, step: -1 }, signal), signal)) ??
      (await search(cid, pagesFrom(from, { position, step: 1 }, signal), signal))
    )
  }

  return {
    async find(cid, signal) {
      const key = cidKey(cid)
      const atHand = (): OpenPage | undefined => [...pages.values()].find(({ offsets }) => offsets.has(key))
      let found = atHand()
      if (found === undefined) {
        const release = await turn.acquire(1, signal)
        try {
          found = atHand() ?? (await searchAll(cid, signal))
        } finally {
          release()
        }
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
