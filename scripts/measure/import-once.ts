/** One import into a fresh store, as a process of its own: `import-once.ts SOURCE STORE`. Prints one line of JSON. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { openStore } from '../../src/store/store.ts'
import { importTree } from '../../src/tree/import.ts'

const [source, dir] = process.argv.slice(2)
if (source === undefined || dir === undefined) throw new Error('usage: import-once.ts SOURCE STORE')
const tempDir = join(dir, 'tmp')
mkdirSync(tempDir, { recursive: true })
const store = await openStore({ dir: join(dir, 'store'), clock: systemClock })
const startMs = performance.now()
const result = await importTree(
  { blocks: store.blocks, tempDir, clock: systemClock },
  { path: source, tree: 'bench' },
)
const seconds = (performance.now() - startMs) / 1000
await store.close()
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage()
console.log(
  JSON.stringify({
    seconds,
    files: result.files,
    bytes: result.bytes,
    snapshot: result.snapshotCid.toString(),
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakMB: maxRSS / 1024,
  }),
)
