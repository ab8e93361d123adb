/** Backings over a restart, over a loss of power at every operation, and over a check-out that moves on ten times. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { equalBytes } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Block } from '../../src/block/block.ts'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import type { BackedFile } from '../../src/store/block-backings.ts'
import type { BlockStore, CorruptBlock } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import { backedFile } from './block-backings.conformance.ts'
import { sampleBlocks } from './sample-blocks.ts'
import type { SimulatedDisk } from './simulated-disk.ts'
import { errnoError, PowerLoss } from './simulated-disk.ts'
import type { Machine } from './simulated-machine.ts'
import { losePower, newMachine, openBlocks } from './simulated-machine.ts'
import { tempDir } from './temp-dir.ts'

const ALL_NEEDED = async (cids: readonly unknown[]) => cids.map(() => true)

test('backings are there again after a restart, and gone with a lost index: their blocks are missing', async (t) => {
  const dir = tempDir(t)
  const root = tempDir(t)
  const blocks = sampleBlocks(20)
  const packed = sampleBlocks(5, 300, 100)
  fs.writeFileSync(path.join(root, 'file'), Buffer.concat(blocks.map(({ bytes }) => bytes)))
  const open = () => openStore({ dir, clock: systemClock })
  let store = await open()
  const id = await store.blocks.backings.create({
    purpose: 'adopted',
    label: 'debian',
    path: Buffer.from(root),
  })
  await store.blocks.backings.commit(id, [backedFile(root, 'file', blocks)])
  await store.blocks.put(packed)
  await store.close()

  store = await open()
  assert.deepEqual(store.blocks.backings.list(), [
    { id, purpose: 'adopted', label: 'debian', path: new Uint8Array(Buffer.from(root)) },
  ])
  for (const { cid, bytes } of [...blocks, ...packed]) assert.deepEqual(await store.blocks.get(cid), bytes)
  assert.equal(store.stats().blocks, 25)
  await store.close()

  fs.rmSync(path.join(dir, 'index'), { recursive: true })
  store = await open()
  assert.deepEqual(store.blocks.backings.list(), [])
  assert.ok(!(await store.blocks.has(blocks.map(({ cid }) => cid))).some(Boolean))
  for (const { cid, bytes } of packed) assert.deepEqual(await store.blocks.get(cid), bytes)
  await store.close()
})

const OLD = sampleBlocks(12, 200)
const NEW = sampleBlocks(12, 200, 300)
/** In both trees, and only in packs at first. */
const SHARED = sampleBlocks(6, 200, 600)
const UNNEEDED = new Set(NEW.slice(8).map(({ cid }) => cid.toString()))

function writeFile(disk: SimulatedDisk, at: string, blocks: readonly Block[]): BackedFile {
  const file = disk.open(at, 'create')
  let offset = 0
  const placed = blocks.map(({ cid, bytes }) => {
    file.write(bytes, offset)
    offset += bytes.length
    return { key: cidToKeyBytes(cid), offset: offset - bytes.length, lengthBytes: bytes.length }
  })
  file.close()
  const below = Buffer.from(at.slice(at.lastIndexOf('/') + 1))
  const seen = disk.openForeign(Buffer.from(at), new Uint8Array())
  const identity = seen.identity()
  seen.close()
  return { below, identity, blocks: placed }
}

/** One check-out takes the place of another: each step says what the store has to hold from then on. */
async function moveOn(machine: Machine, told: Set<Block>): Promise<void> {
  const { disk } = machine
  const { blocks } = await openBlocks(machine)
  const say = (all: readonly Block[]): void => {
    for (const block of all) told.add(block)
  }
  const { backings } = blocks
  const path = (name: string): Uint8Array => Buffer.from(`/t/${name}`)
  await blocks.put(SHARED)
  await blocks.flush()
  say(SHARED)
  const first = await backings.create({ purpose: 'check-out', label: '', path: path('old') })
  await backings.commit(first, [writeFile(disk, '/t/old/a', [...OLD, ...SHARED])])
  say(OLD)
  const second = await backings.create({ purpose: 'check-out', label: '', path: path('staging') })
  await backings.commit(second, [writeFile(disk, '/t/staging/b', [...NEW, ...SHARED.slice(3)])])
  say(NEW)
  await backings.setPaths(first, { path: path('old'), alternative: path('aside') })
  await backings.setPaths(second, { path: path('staging'), alternative: path('old') })
  disk.rename('/t/old/a', '/t/aside/a')
  disk.rename('/t/staging/b', '/t/old/b')
  await disk.syncForeign(path('old'))
  await disk.syncForeign(path('aside'))
  await disk.syncForeign(path('staging'))
  await backings.setPaths(second, { path: path('old') })
  await backings.setPaths(first, { path: path('aside') })
  await backings.evacuate(first, ALL_NEEDED)
  disk.remove('/t/aside/a')
  for (const block of NEW) if (UNNEEDED.has(block.cid.toString())) told.delete(block)
  await backings.evacuate(second, async (cids) => cids.map((cid) => !UNNEEDED.has(cid.toString())))
  disk.remove('/t/old/b')
}

/** The same where one file of two stays: it is in both trees, and in the backing that becomes the new one's. */
async function moveOnInPart(machine: Machine, told: Set<Block>): Promise<void> {
  const { disk } = machine
  const { blocks } = await openBlocks(machine)
  const { backings } = blocks
  const say = (all: readonly Block[]): void => {
    for (const block of all) told.add(block)
  }
  const path = (name: string): Uint8Array => Buffer.from(`/t/${name}`)
  const first = await backings.create({ purpose: 'check-out', label: '', mark: '1', path: path('old') })
  await backings.commit(first, [writeFile(disk, '/t/old/a', OLD), writeFile(disk, '/t/old/k', SHARED)])
  say([...OLD, ...SHARED])
  writeFile(disk, '/t/staging/k', SHARED)
  const added = writeFile(disk, '/t/staging/b', [...NEW, ...OLD.slice(8)])
  await disk.syncForeign(path('staging'))
  const both = { path: path('old'), alternative: path('staging') }
  await backings.setPaths(first, both)
  const left = await backings.create({ purpose: 'check-out', label: '', mark: '1', ...both })
  const [files = []] = await Array.fromAsync(backings.files(first))
  await backings.transfer(first, left, [files[0]!.fileId])
  const second = await backings.create({
    purpose: 'check-out',
    label: '',
    mark: '2',
    path: path('staging'),
    alternative: path('old'),
  })
  await backings.commit(second, [added])
  say(NEW)
  await backings.setPaths(first, both, '1 2')
  await backings.setPaths(left, { path: path('old'), alternative: path('aside') })
  disk.rename('/t/old/a', '/t/aside/a')
  disk.rename('/t/staging/b', '/t/old/b')
  for (const name of ['old', 'aside', 'staging']) await disk.syncForeign(path(name))
  await backings.setPaths(first, { path: path('old') }, '2')
  await backings.setPaths(second, { path: path('old') })
  await backings.setPaths(left, { path: path('aside') })
  await backings.absorb(first, second)
  await backings.evacuate(left, ALL_NEEDED)
  disk.remove('/t/aside/a')
}

async function checkHeld(machine: Machine, told: Iterable<Block>, where: string): Promise<void> {
  const { blocks, damage } = await openBlocks(machine)
  const at = async (store: BlockStore): Promise<void> => {
    for (const { cid, bytes } of told) {
      const got = await store.get(cid)
      assert.ok(got !== undefined && equalBytes(got, bytes), `${where}: a block is lost`)
    }
  }
  await at(blocks)
  assert.deepEqual(damage, [], where)
  // Whatever the crash left is evacuated as if nothing had happened, and nothing lies in files any more.
  for (const { id } of blocks.backings.list()) await blocks.backings.evacuate(id, ALL_NEEDED)
  for (const tree of ['old', 'staging', 'aside']) {
    for (const name of machine.disk.list(`/t/${tree}`)) machine.disk.remove(`/t/${tree}/${name}`)
  }
  await at(blocks)
}

for (const [name, move, seeds] of [
  ['a switch of check-outs', moveOn, 4],
  ['a switch in which a file stays', moveOnInPart, 2],
] as const) {
  test(`with the power lost at any operation of ${name}, no needed block is lost`, async () => {
    const whole = await newMachine()
    const everything = new Set<Block>()
    await move(whole, everything)
    const operations = whole.disk.operations
    assert.ok(operations > 30)
    await checkHeld(whole, everything, 'without a loss')
    for (let lostAt = 1; lostAt <= operations; lostAt++) {
      for (let seed = 0; seed < seeds; seed++) {
        const machine = await newMachine()
        const told = new Set<Block>()
        let isLost = false
        machine.disk.beforeOperation = (operation) => {
          isLost ||= operation >= lostAt
          if (isLost) throw new PowerLoss()
        }
        await assert.rejects(move(machine, told))
        await checkHeld(await losePower(machine, seed), told, `lost at ${lostAt}, seed ${seed}`)
      }
    }
  })

  test(`with any operation of ${name} failing once, no needed block is lost`, async () => {
    const whole = await newMachine()
    await move(whole, new Set())
    for (let failedAt = 1; failedAt <= whole.disk.operations; failedAt++) {
      const machine = await newMachine()
      const told = new Set<Block>()
      machine.disk.beforeOperation = (operation, what) => {
        if (operation === failedAt) throw errnoError('EIO', what)
      }
      await move(machine, told).catch(() => undefined)
      machine.disk.beforeOperation = () => undefined
      await checkHeld(machine, told, `failed at ${failedAt}`)
    }
  })
}

test('a check-out moves on ten times, and the three snapshots before it stay whole', async (t) => {
  const root = tempDir(t)
  const damage: CorruptBlock[] = []
  const store = await openStore({
    dir: tempDir(t),
    clock: systemClock,
    onCorrupt: (found) => damage.push(found),
  })
  t.after(() => store.close())
  const { blocks } = store
  const version = (n: number): Block[] => [
    ...sampleBlocks(5, 2000, 1),
    ...sampleBlocks(10, 2000, n * 5 + 100),
  ]
  let current: number | undefined
  for (let n = 0; n < 11; n++) {
    const tree = path.join(root, String(n))
    fs.mkdirSync(tree)
    fs.writeFileSync(path.join(tree, 'file'), Buffer.concat(version(n).map(({ bytes }) => bytes)))
    const next = await blocks.backings.create({
      purpose: 'check-out',
      label: 'tree',
      path: Buffer.from(tree),
    })
    await blocks.backings.commit(next, [backedFile(tree, 'file', version(n))])
    const kept = [n, n - 1, n - 2, n - 3].filter((each) => each >= 0).flatMap(version)
    const needed = new Set(kept.map(({ cid }) => cid.toString()))
    if (current !== undefined) {
      const { lost } = await blocks.backings.evacuate(current, async (cids) =>
        cids.map((cid) => needed.has(cid.toString())),
      )
      assert.deepEqual(lost, { blocks: 0, bytes: 0 })
      fs.rmSync(path.join(root, String(n - 1)), { recursive: true })
    }
    current = next
    for (const { cid, bytes } of kept) assert.deepEqual(await blocks.get(cid), bytes, `version ${n}`)
    assert.equal((await blocks.backings.measure(next)).blocks, 15)
  }
  assert.deepEqual(damage, [])
})
