import type { Block } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidKey } from '../../src/block/cid.ts'
import type { NodeSource } from '../../src/dag/source.ts'

/** Blocks in memory, with a count of what was read. */
export interface MemorySource extends NodeSource {
  readonly blocks: Map<string, Block>
  readonly emit: (block: Block) => void
  /** Blocks taken since the last call. */
  takeReads(): number
}

export function createMemorySource(): MemorySource {
  const blocks = new Map<string, Block>()
  let reads = 0
  return {
    blocks,
    emit: (block) => {
      blocks.set(cidKey(block.cid), block)
    },
    async get(cid: Cid) {
      reads++
      return blocks.get(cidKey(cid))?.bytes
    },
    takeReads() {
      const taken = reads
      reads = 0
      return taken
    },
  }
}
