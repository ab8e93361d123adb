/**
 * One check-out, as a process of its own: `checkout-once.ts HOME SNAPSHOT DEST [storage]`. With `storage` it becomes the
 * storage of its blocks, as at a site that keeps the tree. Prints one line of JSON; CPU seconds are those of all threads.
 */
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'

const [home, snapshot, dest, as] = process.argv.slice(2)
if (home === undefined || snapshot === undefined || dest === undefined || (as ?? 'storage') !== 'storage')
  throw new Error('usage: checkout-once.ts HOME SNAPSHOT DEST [storage]')
const store = await openStore({ dir: join(home, 'store'), clock: systemClock })
const cid = parseCid(snapshot)
const bytes = await store.blocks.get(cid)
if (bytes === undefined) throw new Error(`${home} does not hold ${snapshot}`)
const { root, counts } = decodeSnapshot(cid, bytes)
const { blocks } = store
const storage = as === undefined ? {} : { storage: createCheckoutStorage({ blocks }) }
const startMs = performance.now()
const before = process.cpuUsage()
await checkOut(
  { blocks, clock: systemClock, ...storage },
  { root, dest, counts, replace: true, label: { tree: 'bench', snapshot } },
)
const seconds = (performance.now() - startMs) / 1000
const { user, system } = process.cpuUsage(before)
await store.close()
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6 }))
