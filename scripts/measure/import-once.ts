/** One import, as a process of its own: `import-once.ts SOURCE HOME COMPRESSION`. Prints one line of JSON. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { openStore } from '../../src/store/store.ts'
import { importTree } from '../../src/tree/import/import.ts'

const [source, home, compression] = process.argv.slice(2)
if (source === undefined || home === undefined || (compression !== 'none' && compression !== 'zstd'))
  throw new Error('usage: import-once.ts SOURCE HOME none|zstd')
const tempDir = join(home, 'tmp')
mkdirSync(tempDir, { recursive: true })
const store = await openStore({ dir: join(home, 'store'), clock: systemClock })
const startMs = performance.now()
const result = await importTree(
  { blocks: store.blocks, tempDir, clock: systemClock },
  { path: source, tree: 'bench', compression },
)
const seconds = (performance.now() - startMs) / 1000
const storedBytes = store.stats().packBytes
await store.close()
console.log(JSON.stringify({ seconds, snapshot: result.snapshotCid.toString(), storedBytes }))
