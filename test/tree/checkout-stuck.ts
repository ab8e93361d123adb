/**
 * Starts a check-out whose blocks stop coming after the first batches, says so once files of those are there, and waits to be killed:
 * `checkout-stuck.ts STORE SNAPSHOT DEST`.
 */
import fs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'

const [dir, snapshot, dest] = process.argv.slice(2) as [string, string, string]
const { blocks } = await openStore({ dir, clock: systemClock })
const cid = parseCid(snapshot)
const bytes = await blocks.get(cid)
let batches = 0
const stuck = {
  ...blocks,
  get: blocks.get.bind(blocks),
  locate: async (cids: Parameters<typeof blocks.locate>[0]) => {
    if (batches++ < 3) return blocks.locate(cids)
    // Batches are planned before they are written.
    while (!isBegun(dest)) await setImmediate()
    console.log('stuck')
    return new Promise<never>(() => setTimeout(() => undefined, 2 ** 30))
  },
}
await checkOut(
  { blocks: stuck, clock: systemClock },
  { root: decodeSnapshot(cid, bytes!).root, dest, replace: true },
)

function isBegun(dest: string): boolean {
  const dir = dirname(dest)
  return fs
    .readdirSync(dir)
    .some((name) => name.startsWith(`.${basename(dest)}.`) && fs.readdirSync(join(dir, name)).length > 0)
}
