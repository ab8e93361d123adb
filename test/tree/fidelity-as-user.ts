/**
 * Makes every case as an ordinary user, imports, checks out into a folder that lends an ACL, a group and setgid to what
 * is made in it, and prints what the judges say: `fidelity-as-user.ts DIR UID GID OTHER_GID`. DIR belongs to the user.
 */
import fs from 'node:fs'
import path from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { makeEveryCase } from './every-case.ts'
import { manifestDifferences, rsyncChanges } from './judge.ts'

const [dir, ...ids] = process.argv.slice(2) as [string, ...string[]]
const [uid, gid, otherGid] = ids.map(Number) as [number, number, number]
process.setgroups?.([otherGid])
process.setgid?.(gid)
process.setuid?.(uid)
const source = path.join(dir, 'source', 'tree')
const dest = path.join(dir, 'lending', 'out')
fs.mkdirSync(path.dirname(source))
fs.mkdirSync(path.join(dir, 'tmp'))
makeEveryCase(source, { uid, gid, otherGid })
// The folder of the test may be closed to this user.
process.env.TMPDIR = path.join(dir, 'tmp')
const store = createMemoryStore()
const read = (from: string): ReturnType<typeof importTree> =>
  importTree(
    { blocks: store.blocks, tempDir: path.join(dir, 'tmp'), clock: systemClock },
    { path: from, tree: 'test' },
  )
const first = await read(source)
const { notRestored } = await checkOut(
  { blocks: store.blocks, clock: systemClock },
  { root: first.snapshot.root, counts: first.snapshot.counts, dest },
)
const second = await read(dest)
await store.close()
console.log(
  JSON.stringify({
    uncaptured: first.uncaptured,
    notRestored,
    rsync: rsyncChanges(source, dest),
    manifest: manifestDifferences(source, dest),
    isSameRoot: Buffer.from(encodeEntry(first.snapshot.root)).equals(encodeEntry(second.snapshot.root)),
  }),
)
