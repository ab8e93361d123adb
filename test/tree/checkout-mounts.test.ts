/** What is mounted in a check-out is never emptied, taken along or written to, and the error says where it is. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { exchange } from '../../src/posix/rename.ts'
import type { CheckoutOptions } from '../../src/tree/checkout/checkout.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import type { CheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { removeTree } from '../../src/tree/checkout/remove-tree.ts'
import { createStaging } from '../../src/tree/checkout/staging.ts'
import { switchTo } from '../../src/tree/checkout/switch.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { openMounts } from './mounts.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree } from './trees.ts'

function makeVersion(b: Bench, name: string): Promise<ImportResult> {
  fs.mkdirSync(b.at(name, 'dir', 'deep'), { recursive: true })
  for (const file of ['one', 'dir/two', 'dir/deep/three']) fs.writeFileSync(b.at(name, file), name)
  return b.import(b.at(name))
}

function hidden(b: Bench): string[] {
  return fs.readdirSync(b.dir).filter((name) => /^\.out\.mirrormesh-[0-9a-f]{16}$/.test(name))
}

/** As `Bench.checkOut`, with something that happens once the tree is written. */
function checkOutThen(
  b: Bench,
  { snapshot }: ImportResult,
  beforeSwitch: () => void,
  more: Partial<CheckoutOptions> = {},
) {
  const storage: CheckoutStorage = {
    beforeSwitch: async () => beforeSwitch(),
    afterSwitch: async () => undefined,
    beforeRemoval: async () => undefined,
    find: async () => undefined,
  }
  return checkOut(
    { blocks: b.store.blocks, clock: systemClock, storage },
    { root: snapshot.root, dest: b.at('out'), replace: true, ...more },
  )
}

for (const kind of ['another file system', 'a folder of the same one'] as const) {
  test(`with ${kind} mounted in it a check-out does not move, until that is unmounted`, async (t) => {
    const mounts = openMounts(t)
    if (mounts === undefined) return
    const b = await bench(t)
    try {
      const [one, two] = [await makeVersion(b, 'one'), await makeVersion(b, 'two')]
      await b.checkOut(one, b.at('out'))
      const before = describeTree(b.at('out'))
      const point = b.at('out', 'dir', 'deep')
      const put = (): void => {
        if (kind === 'another file system') mounts.tmpfs(point)
        else mounts.bind(b.at('theirs'), point)
        fs.writeFileSync(`${point}/precious`, 'precious')
      }
      fs.mkdirSync(b.at('theirs'))
      const isRefused = {
        code: 'conflict',
        message: /something mounted in it: .*out\/dir\/deep/,
        hint: /unmount/i,
      }
      put()
      await assert.rejects(b.checkOut(two, b.at('out'), { replace: true }), isRefused)
      assert.equal(fs.readFileSync(`${point}/precious`, 'utf8'), 'precious')
      mounts.unmount(point)
      // While the new tree was written.
      await assert.rejects(checkOutThen(b, two, put), isRefused)
      assert.equal(fs.readFileSync(`${point}/precious`, 'utf8'), 'precious')
      mounts.unmount(point)
      assert.deepEqual(describeTree(b.at('out')), before)
      assert.deepEqual(hidden(b), [])
      await b.checkOut(two, b.at('out'), { replace: true })
      assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('two')))
    } finally {
      mounts.end()
    }
  })

  test(`${kind} that is mounted in an old tree keeps it from being removed, and nothing in it is`, async (t) => {
    const mounts = openMounts(t)
    if (mounts === undefined) return
    const b = await bench(t)
    try {
      const [one, two] = [await makeVersion(b, 'one'), await makeVersion(b, 'two')]
      await b.checkOut(one, b.at('out'))
      await b.checkOut(two, b.at('out'), { replace: true, keepOldSeconds: 60 })
      const [old] = hidden(b)
      const point = b.at(old!, 'dir', 'deep')
      fs.mkdirSync(b.at('theirs'))
      if (kind === 'another file system') mounts.tmpfs(point)
      else mounts.bind(b.at('theirs'), point)
      fs.writeFileSync(`${point}/precious`, 'precious')
      const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 }
      const again = { root: one.snapshot.root, dest: b.at('out'), replace: true }
      await assert.rejects(checkOut({ blocks: b.store.blocks, clock }, again), {
        code: 'conflict',
        message: /is not removed: .*dir\/deep is mounted/,
        hint: /Unmount it/,
      })
      // Whoever calls it: the look at the mounts is not all that stands before them.
      assert.throws(() => removeTree(Buffer.from(b.at(old!))), { code: 'conflict', message: /is mounted/ })
      assert.equal(fs.readFileSync(`${point}/precious`, 'utf8'), 'precious')
      mounts.unmount(point)
      await checkOut({ blocks: b.store.blocks, clock }, again)
      assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('one')))
      assert.deepEqual(hidden(b), [])
    } finally {
      mounts.end()
    }
  })
}

test('mounted in a protected folder in the instant of the switch, all is found, and comes over once it is unmounted', async (t) => {
  const mounts = openMounts(t)
  if (mounts === undefined) return
  const b = await bench(t)
  try {
    const [one, two] = [await makeVersion(b, 'one'), await makeVersion(b, 'two')]
    await b.checkOut(one, b.at('out'))
    for (const name of ['mine', 'ours']) {
      fs.mkdirSync(b.at('out', name))
      fs.writeFileSync(b.at('out', name, 'data'), name)
    }
    const staging = createStaging(Buffer.from(b.at('out')), 'directory')
    fs.writeFileSync(`${staging.path}/new`, 'new')
    let isFirst = true
    const swap = (x: Uint8Array, y: Uint8Array): void => {
      if (isFirst) mounts.tmpfs(b.at('out', 'mine'))
      if (isFirst) fs.writeFileSync(b.at('out', 'mine', 'precious'), 'precious')
      isFirst = false
      exchange(x, y)
    }
    assert.throws(
      () =>
        switchTo(staging, Buffer.from(b.at('out')), {
          allowed: { mayReplace: true, mayTakeEmpty: false },
          label: undefined,
          local: [Buffer.from('mine'), Buffer.from('ours')],
          protect: [],
          keepOldMs: 0,
          nowMs: 0,
          swap,
        }),
      { message: /bring mine over from the old tree/, hint: /unmount/ },
    )
    staging.release()
    assert.equal(fs.readFileSync(b.at('out', 'ours', 'data'), 'utf8'), 'ours', 'the others came over')
    const point = `${staging.path}/mine`
    assert.equal(fs.readFileSync(`${point}/precious`, 'utf8'), 'precious')
    await assert.rejects(b.checkOut(two, b.at('out'), { replace: true }), { hint: /unmount/i })
    assert.equal(fs.readFileSync(`${point}/precious`, 'utf8'), 'precious')
    mounts.end()
    await b.checkOut(two, b.at('out'), { replace: true, protect: ['mine', 'ours'] })
    assert.equal(fs.readFileSync(b.at('out', 'mine', 'data'), 'utf8'), 'mine')
    assert.equal(fs.readFileSync(b.at('out', 'ours', 'data'), 'utf8'), 'ours')
    assert.deepEqual(hidden(b), [])
  } finally {
    mounts.end()
  }
})

test('a folder of a lower layer, which cannot change its name, is left as it is, with the reason', async (t) => {
  const mounts = openMounts(t)
  if (mounts === undefined) return
  const b = await bench(t)
  try {
    const [one, two] = [await makeVersion(b, 'one'), await makeVersion(b, 'two')]
    mounts.tmpfs(b.at('layers'), 'size=16m')
    const layer = (name: string): string => b.at('layers', name)
    for (const name of ['lower', 'upper', 'work', 'merged']) fs.mkdirSync(layer(name))
    await b.checkOut(one, layer('lower/out'))
    mounts.overlay(layer('merged'), { lower: layer('lower'), upper: layer('upper'), work: layer('work') })
    const before = describeTree(layer('merged/out'))
    await assert.rejects(b.checkOut(two, layer('merged/out'), { replace: true }), {
      code: 'unsupported',
      message: /switch .*merged\/out: .*\(EXDEV\)\. It is as it was/,
      hint: /another file system/,
    })
    assert.deepEqual(describeTree(layer('merged/out')), before)
    // The marker and the manifest of the one that is there.
    assert.equal(fs.readdirSync(layer('merged')).filter((name) => name.startsWith('.out')).length, 2)
    // What was made above can.
    await b.checkOut(one, layer('merged/new'))
    await b.checkOut(two, layer('merged/new'), { replace: true })
    assert.deepEqual(describeTree(layer('merged/new')), describeTree(b.at('two')))
  } finally {
    mounts.end()
  }
})
