/** One check-out, as a process of its own: `checkout-once.ts HOME SNAPSHOT DEST`. Prints one line of JSON. */
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout.ts'

const [home, snapshot, dest] = process.argv.slice(2)
if (home === undefined || snapshot === undefined || dest === undefined)
  throw new Error('usage: checkout-once.ts HOME SNAPSHOT DEST')
const store = await openStore({ dir: join(home, 'store'), clock: systemClock })
const cid = parseCid(snapshot)
const bytes = await store.blocks.get(cid)
if (bytes === undefined) throw new Error(`${home} does not hold ${snapshot}`)
const { root, counts } = decodeSnapshot(cid, bytes)
const startMs = performance.now()
await checkOut(
  { blocks: store.blocks, clock: systemClock },
  { root, dest, counts, replace: true, label: { tree: 'bench', snapshot } },
)
const seconds = (performance.now() - startMs) / 1000
await store.close()
console.log(JSON.stringify({ seconds }))
