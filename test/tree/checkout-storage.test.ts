/** Check-outs that are the storage of their blocks. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { cidKey } from '../../src/block/cid.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import type { IsNeeded } from '../../src/store/block-backings.ts'
import { checkOut } from '../../src/tree/checkout.ts'
import type { CheckoutStorage } from '../../src/tree/checkout-storage.ts'
import { createCheckoutStorage } from '../../src/tree/checkout-storage.ts'
import type { ImportResult } from '../../src/tree/import.ts'
import { removeTree } from '../../src/tree/remove-tree.ts'
import { switchTo } from '../../src/tree/switch.ts'
import { missingOf } from './missing-blocks.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, noise } from './trees.ts'

/** Some files stay the same from version to version, some change, one comes and goes. */
async function importVersion(b: Bench, n: number): Promise<ImportResult> {
  const source = b.at(`version${n}`)
  fs.mkdirSync(b.at(`version${n}`, 'dir'), { recursive: true })
  fs.writeFileSync(b.at(`version${n}`, 'same'), noise(900_000))
  fs.writeFileSync(b.at(`version${n}`, 'dir', 'changing'), noise(700_000, n + 10))
  fs.writeFileSync(b.at(`version${n}`, 'dir', `only${n}`), noise(50_000, n + 100))
  fs.writeFileSync(b.at(`version${n}`, 'dir', 'small'), `version ${n}`)
  fs.linkSync(b.at(`version${n}`, 'same'), b.at(`version${n}`, 'dir', 'link'))
  const imported = await b.import(source)
  removeTree(Buffer.from(source))
  return imported
}

function checkOutWith(
  b: Bench,
  storage: CheckoutStorage,
  { snapshot }: ImportResult,
  dest: string,
  signal?: AbortSignal,
) {
  return checkOut(
    { blocks: b.store.blocks, clock: systemClock, storage },
    { root: snapshot.root, dest, replace: true, ...(signal === undefined ? {} : { signal }) },
  )
}

async function checkWhole(b: Bench, versions: readonly ImportResult[]): Promise<void> {
  for (const [i, version] of versions.entries()) assert.equal(await missingOf(b, version), 0, `version ${i}`)
}

const bytesOf = (b: Bench, id: number) => b.store.blocks.backings.measure(id)

test('the files of a check-out become the storage of their blocks, in place of packs', async (t) => {
  const b = await bench(t)
  const version = await importVersion(b, 1)
  await checkOutWith(b, createCheckoutStorage({ blocks: b.store.blocks }), version, b.at('out'))
  const [backing, ...more] = b.store.blocks.backings.list()
  assert.deepEqual(more, [])
  assert.deepEqual(backing?.path, new Uint8Array(Buffer.from(b.at('out'))))
  assert.equal(backing?.alternative, undefined)
  assert.equal((await bytesOf(b, backing!.id)).bytes, 900_000 + 700_000 + 50_000)
  await checkWhole(b, [version])
  await b.checkOut(version, b.at('copy'))
  assert.deepEqual(describeTree(b.at('copy')), describeTree(b.at('out')))
  fs.writeFileSync(b.at('out', 'same'), 'changed by somebody')
  assert.ok((await missingOf(b, version)) > 0)
})

test('a check-out moves on ten times while the three snapshots before it stay whole', async (t) => {
  const b = await bench(t)
  const { blocks } = b.store
  let needed = new Set<string>()
  const isNeeded: IsNeeded = async (cids) => cids.map((cid) => needed.has(cidKey(cid)))
  const storage = createCheckoutStorage({ blocks }, { isNeeded })
  const versions: ImportResult[] = []
  for (let n = 0; n <= 10; n++) {
    versions.push(await importVersion(b, n))
    const kept = versions.slice(-4)
    needed = new Set()
    for (const { snapshot } of kept) {
      for await (const { cid } of listPages(blocks, snapshot.index)) {
        for (const block of (await readPage(blocks, cid)).blocks) needed.add(cidKey(block.cid))
      }
    }
    await checkOutWith(b, storage, versions.at(-1)!, b.at('out'))
    await checkWhole(b, kept)
    const list = blocks.backings.list()
    assert.equal(list.length, 1)
    assert.equal((await bytesOf(b, list[0]!.id)).bytes, 900_000 + 700_000 + 50_000)
  }
})

test('a check-out that is given up leaves its blocks in packs, and the old one as it was', async (t) => {
  const b = await bench(t)
  const { blocks } = b.store
  const versions = [await importVersion(b, 1), await importVersion(b, 2)] as const
  const storage = createCheckoutStorage({ blocks })
  await checkOutWith(b, storage, versions[0], b.at('out'))
  const before = describeTree(b.at('out'))
  const controller = new AbortController()
  const aborting: CheckoutStorage = {
    ...storage,
    async beforeSwitch(finished) {
      await storage.beforeSwitch(finished)
      controller.abort()
    },
  }
  await assert.rejects(checkOutWith(b, aborting, versions[1], b.at('out'), controller.signal), {
    code: 'aborted',
  })
  assert.deepEqual(describeTree(b.at('out')), before)
  await checkWhole(b, versions)
  assert.deepEqual(
    fs.readdirSync(b.dir).filter((name) => name.startsWith('.out.mirrormesh-')),
    [],
  )
  assert.equal(blocks.backings.list().length, 1)
})

/** Everything up to a kill: the second version is written beside the first and registered, and perhaps switched in. */
async function killedCheckOut(
  b: Bench,
  storage: CheckoutStorage,
  version: ImportResult,
  isSwitched: boolean,
) {
  const staging = Buffer.from(b.at('.out.mirrormesh-0123456789abcdef'))
  const dest = Buffer.from(b.at('out'))
  await b.checkOut(version, b.at('elsewhere'))
  fs.renameSync(b.at('elsewhere'), staging)
  await storage.beforeSwitch({ root: version.snapshot.root, staging, dest })
  if (!isSwitched) return
  const place = {
    path: staging,
    freeName: () => Buffer.from(b.at('.out.mirrormesh-fedcba9876543210')),
    inherits: false,
    release: () => undefined,
  }
  switchTo(place, dest, { mayReplace: true, label: undefined })
}

for (const isSwitched of [false, true]) {
  test(`killed ${isSwitched ? 'after' : 'before'} the switch, both trees are found, and the next check-out loses nothing`, async (t) => {
    const b = await bench(t)
    const { blocks } = b.store
    const versions = [
      await importVersion(b, 1),
      await importVersion(b, 2),
      await importVersion(b, 3),
    ] as const
    const storage = createCheckoutStorage({ blocks })
    await checkOutWith(b, storage, versions[0], b.at('out'))
    await killedCheckOut(b, storage, versions[1], isSwitched)
    await checkWhole(b, versions)
    // As the next run finds it: nothing in memory.
    await checkOutWith(b, createCheckoutStorage({ blocks }), versions[2], b.at('out'))
    await checkWhole(b, versions)
    assert.deepEqual(
      fs.readdirSync(b.dir).filter((name) => name.startsWith('.out.mirrormesh-')),
      [],
    )
    const list = blocks.backings.list()
    assert.deepEqual(
      list.map(({ path, alternative }) => [Buffer.from(path).toString(), alternative]),
      [[b.at('out'), undefined]],
    )
  })
}

test('a tree whose needed blocks cannot be copied stays, and is copied and removed by the next check-out', async (t) => {
  const b = await bench(t)
  const { blocks } = b.store
  const versions = [await importVersion(b, 1), await importVersion(b, 2), await importVersion(b, 3)] as const
  const storage = createCheckoutStorage({ blocks })
  await checkOutWith(b, storage, versions[0], b.at('out'))
  const failing: CheckoutStorage = {
    ...storage,
    async beforeRemoval() {
      throw new Error('no space')
    },
  }
  const { leftBehind } = await checkOutWith(b, failing, versions[1], b.at('out'))
  assert.ok(leftBehind !== undefined && fs.existsSync(leftBehind))
  await checkWhole(b, versions)
  await checkOutWith(b, storage, versions[2], b.at('out'))
  assert.ok(!fs.existsSync(leftBehind))
  await checkWhole(b, versions)
})

test('a single file is the storage of its blocks, a symbolic link of none', async (t) => {
  const b = await bench(t)
  const storage = createCheckoutStorage({ blocks: b.store.blocks })
  fs.writeFileSync(b.at('file'), noise(300_000))
  fs.symlinkSync('file', b.at('link'))
  const file = await b.import(b.at('file'))
  await checkOutWith(b, storage, file, b.at('out'))
  assert.equal((await bytesOf(b, b.store.blocks.backings.list()[0]!.id)).bytes, 300_000)
  await checkWhole(b, [file])
  await checkOutWith(b, storage, await b.import(b.at('link')), b.at('out'))
  assert.deepEqual(b.store.blocks.backings.list(), [])
  await checkWhole(b, [file])
})
