/**
 * What the store holds of a snapshot's index, worked out when somebody asks: of a snapshot that is complete here under a path
 * filter nothing is written down but that. What others are told is a hint: what is gone by the time they ask is answered as such.
 */
import type { Cid } from '../../block/cid.ts'
import { RAW } from '../../block/cid.ts'
import { listPages, readPage } from '../../dag/reader.ts'
import type { HoldingUpdate } from '../../net/ports.ts'
import type { BlockReader } from '../../store/block-store.ts'

/** Pages held in part that are told of, those with some contents and those with nodes alone: more are of little use to anybody. */
const MAX_PARTIAL_PAGES = 256

export async function* storedHoldings(
  blocks: BlockReader,
  index: Cid,
  signal: AbortSignal,
): AsyncGenerator<HoldingUpdate, void, undefined> {
  const left = { contents: MAX_PARTIAL_PAGES, nodes: MAX_PARTIAL_PAGES }
  let number = 0
  for await (const ref of listPages(blocks, index, signal)) {
    const page = await readPage(blocks, ref, signal)
    const has = await blocks.has(page.blocks.map(({ cid }) => cid))
    const offsets = [...has.keys()].filter((offset) => has[offset] === true)
    const kind = offsets.some((offset) => page.blocks[offset]!.cid.code === RAW) ? 'contents' : 'nodes'
    if (offsets.length === has.length) yield { kind: 'pages', full: [number] }
    else if (offsets.length > 0 && left[kind]-- > 0) yield { kind: 'blocks', page: number, offsets }
    number++
  }
}
