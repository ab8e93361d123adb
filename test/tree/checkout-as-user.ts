/**
 * Imports SOURCE and checks it out to DIR/out as an ordinary user, and prints what was not restored:
 * `checkout-as-user.ts SOURCE DIR UID`. DIR belongs to the user.
 */
import fs from 'node:fs'
import path from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { importTree } from '../../src/tree/import/import.ts'

const [source, dir, uid] = process.argv.slice(2) as [string, string, string]
process.setgroups?.([])
process.setgid?.(Number(uid))
process.setuid?.(Number(uid))
fs.mkdirSync(path.join(dir, 'tmp'))
// The folder of the test may be closed to this user.
process.env.TMPDIR = path.join(dir, 'tmp')
const store = createMemoryStore()
const { snapshot, uncaptured } = await importTree(
  { blocks: store.blocks, tempDir: path.join(dir, 'tmp'), clock: systemClock },
  { path: source, tree: 'test' },
)
const { notRestored } = await checkOut(
  { blocks: store.blocks, clock: systemClock },
  { root: snapshot.root, dest: path.join(dir, 'out'), devices: true },
)
await store.close()
console.log(JSON.stringify({ uncaptured, notRestored }))
