/** What a site does with its check-outs by itself: old trees go when their time has come, and not before. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { Semaphore } from '../../src/base/semaphore.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createCheckoutKeeper } from '../../src/replica/site-agent/checkouts.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { openMounts } from '../tree/mounts.ts'
import { bench, describeTree } from '../tree/trees.ts'
import { createTestLogger } from './test-mesh.ts'

test('a replaced tree goes keepOldSeconds after its move, by a keeper that was restarted, unless something is mounted in it', async (t) => {
  const mounts = openMounts(t)
  if (mounts === undefined) return
  const b = await bench(t)
  const clock = new VirtualClock()
  const logger = createTestLogger()
  const signal = new AbortController().signal
  const make = () =>
    createCheckoutKeeper(
      {
        blocks: b.store.blocks,
        isPublishedHere: () => false,
        state: () => ({ trees: new Map() }),
        checkoutSlots: new Semaphore(1),
        clock,
        logger,
      },
      { keepOldSeconds: 600 },
    )
  const versions: ImportResult[] = []
  for (const name of ['one', 'two', 'three']) {
    fs.mkdirSync(b.at(name, 'dir'), { recursive: true })
    fs.writeFileSync(b.at(name, 'dir', 'file'), name)
    fs.writeFileSync(b.at(name, 'same'), Buffer.alloc(5000, 7))
    versions.push(await b.import(b.at(name)))
  }
  const hidden = (): string[] =>
    fs.readdirSync(b.dir).filter((name) => /^\.out\.mirrormesh-[0-9a-f]{16}$/.test(name))
  const move = (index: number): Promise<void> =>
    make().move({
      tree: 't',
      snapshot: versions[index]!.snapshotCid,
      path: b.at('out'),
      versions: undefined,
      signal,
    })
  const look = (): Promise<void> =>
    make().removeOldTrees([{ tree: 't', path: b.at('out'), versions: undefined }], signal)
  try {
    await move(0)
    await move(1)
    const [first] = hidden()
    // A reader from before the move, as over NFS.
    const reader = fs.openSync(b.at(first!), 'r')
    t.after(() => fs.closeSync(reader))
    clock.advanceTo(clock.nowMs() + 300_000)
    await move(2)
    await look()
    assert.equal(hidden().length, 2)
    clock.advanceTo(clock.nowMs() + 299_999)
    await look()
    assert.equal(hidden().length, 2)
    assert.equal(fs.readFileSync(`/proc/self/fd/${reader}/dir/file`, 'utf8'), 'one')
    clock.advanceTo(clock.nowMs() + 1)
    await look()
    const [second, ...more] = hidden()
    assert.ok(second !== first && more.length === 0)
    assert.equal(fs.readFileSync(b.at(second!, 'dir', 'file'), 'utf8'), 'two')
    assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('three')))

    mounts.tmpfs(b.at(second!, 'dir'))
    fs.writeFileSync(b.at(second!, 'dir', 'precious'), 'precious')
    clock.advanceTo(clock.nowMs() + 300_000)
    await look()
    assert.ok(logger.events.some(({ event }) => event === 'checkout.old-tree-stays'))
    assert.equal(fs.readFileSync(b.at(second!, 'dir', 'precious'), 'utf8'), 'precious')
    mounts.end()
    await look()
    assert.deepEqual(hidden(), [])
    const said = logger.events.length
    // Its name is in the marker until the next move, and nothing is looked for any more.
    await look()
    assert.equal(logger.events.length, said)
    assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('three')))
  } finally {
    mounts.end()
  }
})
