/** Applies what make-deltas-once.ts made, and verifies each block: `apply-deltas-once.ts STORE BASE TARGET DIR`. Prints one line of JSON. */
import { systemClock } from '../../src/base/clock.ts'
import { type Cid, parseCid } from '../../src/block/cid.ts'
import type { IndexedBlock } from '../../src/dag/block-index.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { BlockRange } from '../../src/delta/delta.ts'
import { type IndexMap, openIndexMap } from '../../src/delta/index-map.ts'
import { applyStored } from '../../src/replica/fetch/apply-stored.ts'
import { openStore } from '../../src/store/store.ts'
import { readDeltaPlan, readFrames } from './made-deltas.ts'

const [dir, base, target, from] = process.argv.slice(2)
if (dir === undefined || base === undefined || target === undefined || from === undefined)
  throw new Error('usage: apply-deltas-once.ts STORE BASE TARGET DIR')
const store = await openStore({ dir, clock: systemClock })
const [olds, news] = [await indexOf(parseCid(base)), await indexOf(parseCid(target))]
const plan = readDeltaPlan(from)
let plainBytes = 0
const [startMs, before] = [performance.now(), process.cpuUsage()]
let at = 0
for (const frame of readFrames(from, plan)) {
  const delta = plan[at++]!
  const parts = {
    frame,
    targets: await listed(news, delta.targets),
    base: await listed(olds, delta.base),
  }
  const made = await applyStored(store.blocks, parts, async (blocks) =>
    blocks.reduce((sum, { bytes }) => sum + bytes.length, 0),
  )
  if (made === undefined) throw new Error('a block of the base is not in the store')
  plainBytes += made
}
const { user, system } = process.cpuUsage(before)
const seconds = (performance.now() - startMs) / 1000
await store.close()
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, plainBytes }))

async function indexOf(snapshot: Cid): Promise<IndexMap> {
  const bytes = await store.blocks.get(snapshot)
  const map = await openIndexMap(store.blocks, decodeSnapshot(snapshot, bytes!).index)
  return map!
}

async function listed(map: IndexMap, ranges: readonly BlockRange[]): Promise<IndexedBlock[]> {
  const blocks: IndexedBlock[] = []
  for (const { first, count } of ranges)
    for (let position = first; position < first + count; position++) blocks.push(await map.blockAt(position))
  return blocks
}
