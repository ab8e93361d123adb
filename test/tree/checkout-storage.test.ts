/** Check-outs that are the storage of their blocks. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { cidKey } from '../../src/block/cid.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import type { IsNeeded } from '../../src/store/block-backings.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import type { CheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { removeTree } from '../../src/tree/checkout/remove-tree.ts'
import { switchTo } from '../../src/tree/checkout/switch.ts'
import type { WrittenFile } from '../../src/tree/checkout/written-files.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
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

test('what is noted of the files as they are written is what a look at them says', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-noted-'))
  t.after(() => fs.rmSync(dir, { recursive: true }))
  // An hour on, the times of the files tell: while they are new, only their content does.
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 }
  const b = await bench(t, await openStore({ dir, clock }))
  const { backings } = b.store.blocks
  fs.mkdirSync(b.at('source', 'dir', 'inner'), { recursive: true })
  for (const [n, name] of ['first', 'second', 'dir/a', 'dir/inner/b', 'dir/z', 'dir/z2'].entries()) {
    fs.writeFileSync(b.at('source', name), noise(5000 + n, n))
    fs.utimesSync(b.at('source', name), 1_700_000_000 + n, 1_700_000_000 + n)
  }
  fs.linkSync(b.at('source', 'first'), b.at('source', 'dir', 'linked'))
  fs.writeFileSync(b.at('source', 'large'), noise(9_000_000))
  fs.chmodSync(b.at('source', 'dir', 'z'), 0o444)
  const storage = createCheckoutStorage({ blocks: b.store.blocks })
  const checkNoted = async () => {
    const all = backings.list()
    assert.equal(all.length, 1)
    assert.deepEqual((await backings.check(all[0]!.id)).changed.first.map(String), [])
    assert.equal((await backings.check(all[0]!.id)).files, 7)
  }
  await checkOutWith(b, storage, await b.import(b.at('source')), b.at('out'))
  await checkNoted()
  // Taken over, but for one.
  fs.writeFileSync(b.at('source', 'second'), noise(6000, 77))
  await checkOutWith(b, storage, await b.import(b.at('source')), b.at('out'))
  await checkNoted()
  fs.writeFileSync(b.at('out', 'dir', 'z2'), 'by hand')
  const { changed } = await backings.check(backings.list()[0]!.id)
  assert.deepEqual(
    changed.first.map((below) => Buffer.from(below).toString()),
    ['dir/z2'],
  )
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
  let files: WrittenFile[] = []
  const noting: CheckoutStorage = {
    async beforeSwitch(finished) {
      files = [...finished.files]
    },
    afterSwitch: async () => undefined,
    beforeRemoval: async () => undefined,
    find: async () => undefined,
  }
  await checkOutWith(b, noting, version, b.at('elsewhere'))
  fs.renameSync(b.at('elsewhere'), staging)
  await storage.beforeSwitch({ root: version.snapshot.root, staging, dest, files })
  if (!isSwitched) return
  const place = {
    path: staging,
    inherits: false,
    freeName: () => Buffer.from(b.at('.out.mirrormesh-fedcba9876543210')),
    release: () => undefined,
  }
  switchTo(place, dest, {
    allowed: { mayReplace: true, mayTakeEmpty: false },
    label: undefined,
    local: [],
    protect: [],
    keepOldMs: 0,
    nowMs: 0,
  })
}

const noExchange = (): never => {
  throw Object.assign(new Error('EINVAL'), { code: 'EINVAL' })
}

for (const step of ['after the first', 'after both', 'never'] as const) {
  test(`of two renames that stand in for an exchange, killed ${step}: every block is found, and what is protected stays`, async (t) => {
    const b = await bench(t)
    const { blocks } = b.store
    const versions = [
      await importVersion(b, 1),
      await importVersion(b, 2),
      await importVersion(b, 3),
    ] as const
    const storage = createCheckoutStorage({ blocks })
    await checkOutWith(b, storage, versions[0], b.at('out'))
    fs.mkdirSync(b.at('out', 'mine'))
    fs.writeFileSync(b.at('out', 'mine', 'PROTECTED'), '')
    fs.writeFileSync(b.at('out', 'mine', 'data'), 'precious')
    await killedCheckOut(b, storage, versions[1], false)
    const [staging, dest] = [Buffer.from(b.at('.out.mirrormesh-0123456789abcdef')), Buffer.from(b.at('out'))]
    let names = 0
    const place = {
      path: staging,
      inherits: false,
      freeName: () => Buffer.from(b.at(`.out.mirrormesh-fedcba987654321${names++}`)),
      release: () => undefined,
    }
    const renames = step === 'after the first' ? 1 : 2
    // The kill, as an error that nothing can clean up after.
    const rename = fs.renameSync
    let done = 0
    t.mock.method(fs, 'renameSync', (from: fs.PathLike, to: fs.PathLike) => {
      if (!String(to).endsWith('.json') && (done >= renames || done++ > renames)) throw new Error('killed')
      rename(from, to)
    })
    const switching = (): Buffer | undefined =>
      switchTo(place, dest, {
        allowed: { mayReplace: true, mayTakeEmpty: false },
        label: undefined,
        local: [Buffer.from('mine')],
        protect: [],
        keepOldMs: 0,
        nowMs: 0,
        swap: noExchange,
      })
    if (step === 'never') {
      t.mock.restoreAll()
      const old = switching()
      await storage.afterSwitch({ dest, old })
    } else {
      assert.throws(switching, /killed/)
      t.mock.restoreAll()
    }
    const isAway = fs.readdirSync(b.dir).some((name) => name.startsWith('.out.mirrormesh-fedc'))
    assert.ok(isAway, 'the old tree is where no backing names it')
    // As the next start does, before anything is read.
    await createCheckoutStorage({ blocks }).find()
    await checkWhole(b, versions)
    await checkOutWith(b, createCheckoutStorage({ blocks }), versions[2], b.at('out'))
    await checkWhole(b, versions)
    assert.equal(fs.readFileSync(b.at('out', 'mine', 'data'), 'utf8'), 'precious')
    assert.deepEqual(
      fs.readdirSync(b.dir).filter((name) => name.startsWith('.out.mirrormesh-')),
      [],
    )
    assert.equal(blocks.backings.list().length, 1)
  })
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
