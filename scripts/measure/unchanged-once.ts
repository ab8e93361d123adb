/**
 * Whether a source is unchanged since its import, as a process of its own: `unchanged-once.ts SOURCE STORE`. The first
 * run with a STORE imports the source and keeps what it found; the later ones stat it. A source younger than the clock's
 * grain (seconds) counts as changed. Prints one line of JSON.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { openStore } from '../../src/store/store.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { isUnchanged } from '../../src/tree/stat-cache/find-unchanged.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'

const [source, dir] = process.argv.slice(2)
if (source === undefined || dir === undefined) throw new Error('usage: unchanged-once.ts SOURCE STORE')
const tempDir = join(dir, 'tmp')
mkdirSync(tempDir, { recursive: true })
const log = {
  info: () => undefined,
  warn: (fields: object, event: string) => console.error(event, fields),
}
const statCaches = openStatCaches({ dir: join(dir, 'cache'), log })
const named = join(dir, 'snapshot')
const isFirst = !existsSync(named)
let isSame: boolean | undefined
const startMs = performance.now()
if (isFirst) {
  const store = await openStore({ dir: join(dir, 'store'), clock: systemClock })
  const result = await importTree(
    { blocks: store.blocks, tempDir, clock: systemClock },
    { path: source, tree: 'bench', statCaches },
  )
  await result.cache?.keep(result.snapshotCid)
  writeFileSync(named, result.snapshotCid.toString())
  await store.close()
} else {
  const snapshot = parseCid(readFileSync(named, 'utf8'))
  isSame = await isUnchanged(
    { statCaches, tempDir, clock: systemClock },
    { path: source, tree: 'bench', snapshot },
  )
  if (!isSame) throw new Error(`${source} is not as it was`)
}
const seconds = (performance.now() - startMs) / 1000
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage()
console.log(
  JSON.stringify({
    seconds,
    run: isFirst ? 'import' : 'unchanged',
    isUnchanged: isSame ?? null,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakMB: maxRSS / 1024,
  }),
)
