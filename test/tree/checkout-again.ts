/** Checks out one snapshot after the other to one place, until it is killed: `checkout-again.ts STORE DEST SNAPSHOT...`. */
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'

const [dir, dest, ...snapshots] = process.argv.slice(2) as [string, string, ...string[]]
const { blocks } = await openStore({ dir, clock: systemClock })
console.log('started')
for (let round = 1; ; round++) {
  const cid = parseCid(snapshots[round % snapshots.length]!)
  const { root } = decodeSnapshot(cid, (await blocks.get(cid))!)
  await checkOut({ blocks, clock: systemClock }, { root, dest, replace: true })
}
