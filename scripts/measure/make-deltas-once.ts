/** All deltas of one pair, as a process of its own: `make-deltas-once.ts STORE BASE TARGET DIR OPTIONS`. Prints one line of JSON. */
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { type DeltaOptions, makeDeltas } from '../../src/delta/make-deltas.ts'
import { openStore } from '../../src/store/store.ts'
import { createDeltaWriter } from './made-deltas.ts'

const [dir, base, target, out, options] = process.argv.slice(2)
if (dir === undefined || base === undefined || target === undefined || out === undefined)
  throw new Error('usage: make-deltas-once.ts STORE BASE TARGET DIR [OPTIONS as JSON]')
const store = await openStore({ dir, clock: systemClock })
const writer = createDeltaWriter(out)
const [startMs, before] = [performance.now(), process.cpuUsage()]
let firstSeconds: number | undefined
const pair = { base: parseCid(base), target: parseCid(target) }
const chosen = JSON.parse(options ?? '{}') as Partial<DeltaOptions>
for await (const delta of makeDeltas({ source: store.blocks }, { ...chosen, ...pair })) {
  firstSeconds ??= (performance.now() - startMs) / 1000
  writer.add(delta)
}
const { user, system } = process.cpuUsage(before)
const seconds = (performance.now() - startMs) / 1000
writer.finish()
await store.close()
console.log(JSON.stringify({ seconds, firstSeconds, cpuSeconds: (user + system) / 1e6 }))
