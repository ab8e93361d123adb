/** How many of a snapshot's blocks its store cannot give. */
import { listPages, readPage } from '../../src/dag/reader.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import type { Bench } from './trees.ts'

export async function missingOf({ store: { blocks } }: Bench, { snapshot }: ImportResult): Promise<number> {
  let missing = 0
  for await (const { cid } of listPages(blocks, snapshot.index)) {
    for (const block of (await readPage(blocks, cid)).blocks) {
      if ((await blocks.get(block.cid)) === undefined) missing += 1
    }
  }
  return missing
}
