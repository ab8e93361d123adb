/** The chunks of one file at the top of a snapshot. */
import type { Cid } from '../../src/block/cid.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { fileParts, lookUp } from '../../src/dag/reader.ts'
import type { NodeSource } from '../../src/dag/source.ts'

export async function chunksOf(blocks: NodeSource, root: Entry, name: string): Promise<Cid[]> {
  const entry = await lookUp(blocks, root, [Buffer.from(name)])
  if (entry?.type !== 'file') throw new Error(`${name} is no file`)
  const cids: Cid[] = []
  for await (const { cid } of fileParts(blocks, entry)) cids.push(cid)
  return cids
}
