/** Reads the pages of a snapshot's index in order, some ahead, and gives each when the scheduler wants it. */
import type { Cid } from '../../block/cid.ts'
import type { IndexPage, PageRef } from '../../dag/block-index.ts'
import { listPages, readPage } from '../../dag/reader.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { BlockReader } from '../../store/block-store.ts'

/** Pages on their way at a time: hides the round trips of a far origin. */
const READ_AHEAD = 8

export interface LoadedPage {
  readonly number: number
  readonly page: IndexPage
  /** Which of its blocks are stored here. */
  readonly has: readonly boolean[]
}

export async function* loadPages(
  { objects, blocks }: { objects: NodeSource; blocks: BlockReader },
  index: Cid,
  signal: AbortSignal,
): AsyncIterable<LoadedPage> {
  const refs = listPages(objects, index, signal)[Symbol.asyncIterator]()
  const ahead: Promise<LoadedPage>[] = []
  const load = async (number: number, ref: PageRef): Promise<LoadedPage> => {
    const page = await readPage(objects, ref, signal)
    return { number, page, has: await blocks.has(page.blocks.map((block) => block.cid)) }
  }
  for (let number = 0, isEnd = false; ; ) {
    while (!isEnd && ahead.length < READ_AHEAD) {
      const next = await refs.next()
      if (next.done === true) {
        isEnd = true
        break
      }
      const loading = load(number++, next.value)
      // Awaited in its turn; until then its failure is nobody's.
      loading.catch(() => undefined)
      ahead.push(loading)
    }
    const page = await ahead.shift()
    if (page === undefined) return
    yield page
  }
}
