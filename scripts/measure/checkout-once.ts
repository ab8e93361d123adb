/** One check-out to a fresh folder, as a process of its own: `checkout-once.ts STORE SNAPSHOT DEST`. Prints one line of JSON. */
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout.ts'

const [dir, snapshotText, dest] = process.argv.slice(2)
if (dir === undefined || snapshotText === undefined || dest === undefined) {
  throw new Error('usage: checkout-once.ts STORE SNAPSHOT DEST')
}
const store = await openStore({ dir: join(dir, 'store'), clock: systemClock })
const cid = parseCid(snapshotText)
const bytes = await store.blocks.get(cid)
if (bytes === undefined) throw new Error(`${dir} does not hold ${snapshotText}`)
const { root } = decodeSnapshot(cid, bytes)
const startMs = performance.now()
const result = await checkOut({ blocks: store.blocks, clock: systemClock }, { root, dest })
const seconds = (performance.now() - startMs) / 1000
await store.close()
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage()
console.log(
  JSON.stringify({
    seconds,
    files: result.files,
    bytes: result.bytes,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakMB: maxRSS / 1024,
  }),
)
