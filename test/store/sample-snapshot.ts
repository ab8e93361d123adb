/** Snapshots whose index lists given blocks, as a collection sees them: what their roots are does not matter to it. */
import type { Block } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { encodeSnapshot } from '../../src/dag/snapshot.ts'
import { SAMPLE_SNAPSHOT } from '../dag/samples.ts'

export interface TestSnapshot {
  readonly cid: Cid
  /** Its block and the nodes of its index. */
  readonly own: readonly Block[]
  /** These, and what the index lists. */
  readonly all: readonly Block[]
}

export function testSnapshot(listed: readonly Block[], name: string): TestSnapshot {
  const own: Block[] = []
  const builder = createBlockIndexBuilder(
    (block) => void own.push({ cid: block.cid, bytes: block.bytes.slice() }),
  )
  for (const { cid, bytes } of listed) builder.add(cid, bytes.length)
  const { root, blocks, sizeBytes } = builder.finish()
  const counts = { ...SAMPLE_SNAPSHOT.counts, blocks, blockBytes: sizeBytes }
  const block = encodeSnapshot({ ...SAMPLE_SNAPSHOT, index: root, counts, notes: { name } })
  own.push(block)
  return { cid: block.cid, own, all: [...own, ...listed] }
}
