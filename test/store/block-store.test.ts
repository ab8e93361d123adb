import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import { openStore } from '../../src/store/store.ts'
import { testBackings } from './block-backings.conformance.ts'
import { testBlockStore } from './block-store.conformance.ts'
import { testTreeBlocks } from './tree-blocks.conformance.ts'

testBlockStore({
  name: 'the in-memory block store',
  async setup() {
    const store = createMemoryStore()
    return { blocks: store.blocks, close: store.close }
  },
})

testTreeBlocks({
  name: 'the in-memory block store',
  async setup() {
    const store = createMemoryStore()
    return { blocks: store.blocks, close: store.close }
  },
})

testBackings({
  name: 'the in-memory block store',
  async setup(onCorrupt) {
    const store = createMemoryStore({ onCorrupt })
    return { blocks: store.blocks, close: store.close }
  },
})

const variants: Readonly<Record<string, StoreOptions>> = {
  'the block store of packs': {},
  'the block store of packs, rotating and flushing all the time': {
    maxPackBytes: 2000,
    autoFlushBytes: 1000,
    autoFlushMs: 1,
  },
}

for (const [name, options] of Object.entries(variants)) {
  const setup = async (onCorrupt: (damage: CorruptBlock) => void = () => undefined) => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-store-'))
    const store = await openStore({ dir, clock: systemClock, onCorrupt }, options)
    return {
      blocks: store.blocks,
      async close() {
        await store.close()
        fs.rmSync(dir, { recursive: true, force: true })
      },
    }
  }
  testBlockStore({ name, setup: () => setup() })
  testTreeBlocks({ name, setup: () => setup() })
  testBackings({ name, setup })
}
