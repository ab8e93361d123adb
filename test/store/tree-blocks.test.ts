/** Whose a block is, over crashes, power losses, collections and the loss of the index: to fewer trees than before, never to more. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { ALL_TREES, decodeCount, marksOf, metaIndexKey } from '../../src/store/index/index.ts'
import { openLevelIndex } from '../../src/store/index/level-index.ts'
import { openStore } from '../../src/store/store.ts'
import { backedFile } from './block-backings.conformance.ts'
import { sampleBlocks } from './sample-blocks.ts'
import { testSnapshot } from './sample-snapshot.ts'
import { losePower, newMachine, openBlocks } from './simulated-machine.ts'
import { asTree, checkSeen } from './tree-blocks.conformance.ts'

const BLOCKS = sampleBlocks(40, 400)
const yes = (): boolean => true
const no = (): boolean => false

async function putAll(blocks: BlockStore): Promise<void> {
  await asTree(blocks, 'secret', true).put(BLOCKS.slice(0, 20))
  await asTree(blocks, 'other', true).put(BLOCKS.slice(10, 20))
  await asTree(blocks, 'open', false).put(BLOCKS.slice(15))
  await blocks.flush()
}

async function checkAll(blocks: BlockStore, what: string): Promise<void> {
  await checkSeen(blocks, BLOCKS, yes, what)
  await checkSeen(asTree(blocks, 'secret', true), BLOCKS, yes, what)
  await checkSeen(asTree(blocks, 'other', true), BLOCKS, (i) => i >= 10, what)
  await checkSeen(asTree(blocks, 'open', false), BLOCKS, (i) => i >= 15, what)
  await checkSeen(asTree(blocks, 'third', true), BLOCKS, (i) => i >= 15, what)
}

test('whose a block is outlives the closing of the store', async (t) => {
  const dir = tempDirOf(t)
  let store = await openStore({ dir, clock: systemClock })
  await putAll(store.blocks)
  await store.close()
  store = await openStore({ dir, clock: systemClock })
  await checkAll(store.blocks, 'opened again')
  await store.close()
})

test('a store without private trees keeps its format, and the first one raises it', async (t) => {
  const dir = tempDirOf(t)
  const formatAfter = async (put: (blocks: BlockStore) => Promise<void>): Promise<number> => {
    const store = await openStore({ dir, clock: systemClock })
    await put(store.blocks)
    await store.close()
    const index = await openLevelIndex(`${dir}/index`)
    const [value] = await index.getMany([metaIndexKey('format')])
    await index.close()
    return decodeCount(value!)
  }
  assert.equal(await formatAfter((blocks) => asTree(blocks, 'open', false).put(BLOCKS.slice(20))), 2)
  assert.equal(await formatAfter((blocks) => asTree(blocks, 'secret', true).put(BLOCKS)), 3)
  assert.equal(await formatAfter(async () => undefined), 3)
})

test('an index that is lost leaves private blocks to nobody until they come again, and public ones to all', async (t) => {
  const dir = tempDirOf(t)
  const open = () => openStore({ dir, clock: systemClock })
  let store = await open()
  await putAll(store.blocks)
  await store.close()
  fs.rmSync(`${dir}/index`, { recursive: true })
  store = await open()
  // What was written as a private tree's stays so: that it became everybody's later went with the index.
  await checkSeen(store.blocks, BLOCKS, yes)
  for (const [tree, isPrivate] of [
    ['secret', true],
    ['other', true],
    ['open', false],
    ['third', true],
  ] as const)
    await checkSeen(asTree(store.blocks, tree, isPrivate), BLOCKS, (i) => i >= 20, tree)
  await putAll(store.blocks)
  await checkAll(store.blocks, 'after all came again')
  const { packBytes } = store.stats()
  await asTree(store.blocks, 'secret', true).put(BLOCKS)
  assert.equal(store.stats().packBytes, packBytes, 'nothing is stored twice')
  await store.close()
})

test('a power loss or a kill at any moment shows no tree more than it may see', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const machine = await newMachine()
    const { blocks } = await openBlocks(machine)
    await asTree(blocks, 'secret', true).put(BLOCKS.slice(0, 20))
    if (seed % 2 === 0) await blocks.flush()
    await asTree(blocks, 'other', true).put(BLOCKS.slice(10, 20))
    if (seed % 3 === 0) await asTree(blocks, 'open', false).put(BLOCKS.slice(20))
    const after = await openBlocks(seed % 5 === 0 ? machine : await losePower(machine, seed))
    const seen = async (tree: string, isPrivate: boolean): Promise<boolean[]> =>
      asTree(after.blocks, tree, isPrivate).has(BLOCKS.map(({ cid }) => cid))
    for (const [i, is] of (await seen('open', false)).entries()) if (i < 20) assert.ok(!is, `open: ${i}`)
    for (const [i, is] of (await seen('third', true)).entries()) if (i < 20) assert.ok(!is, `third: ${i}`)
    for (const [i, is] of (await seen('other', true)).entries()) if (i < 10) assert.ok(!is, `other: ${i}`)
    if (seed % 2 === 0)
      for (const [i, is] of (await seen('secret', true)).entries()) if (i < 20) assert.ok(is, `secret: ${i}`)
  }
})

test('a collection that moves blocks leaves them to whom they were, and takes the marks of those it takes', async (t) => {
  const dir = tempDirOf(t)
  const options = { maxPackBytes: 3000, autoFlushBytes: 900, maxGarbageShare: 0.1 }
  const kept = testSnapshot(
    BLOCKS.filter((_, i) => i % 3 !== 0),
    'kept',
  )
  let store = await openStore({ dir, clock: systemClock }, options)
  await putAll(store.blocks)
  await store.blocks.put(kept.all)
  await store.blocks.flush()
  // What the snapshot's own nodes are made of is everybody's here; its chunks were stored before.
  const secret = BLOCKS.slice(0, 15).map((block, i) => ({ block, i }))
  await store.close()
  store = await openStore({ dir, clock: systemClock }, options)
  await store.collect({ choose: () => ({ whole: [kept.cid], partial: [] }) })
  const gone = secret.filter(({ i }) => i % 3 === 0).map(({ block }) => block)
  assert.ok((await store.blocks.has(gone.map(({ cid }) => cid))).every((is) => !is))
  await store.close()
  const index = await openLevelIndex(`${dir}/index`)
  for (const { cid } of gone) {
    for await (const [key] of index.entries(marksOf(cidToKeyBytes(cid))))
      assert.fail(`a mark is left: ${key}`)
  }
  const trees: string[] = []
  for await (const [, value] of index.entries(ALL_TREES)) trees.push(Buffer.from(value).toString())
  assert.deepEqual(trees.sort(), ['other', 'secret'])
  await index.close()
})

test('compaction, check-outs and their evacuation leave a block to whom it was', async (t) => {
  const dir = tempDirOf(t)
  const root = tempDirOf(t)
  const options = { maxPackBytes: 3000, autoFlushBytes: 900, maxGarbageShare: 0.05 }
  const store = await openStore({ dir, clock: systemClock }, options)
  const owned = BLOCKS.slice(0, 20)
  const kept = testSnapshot([...owned], 'kept')
  const secret = asTree(store.blocks, 'secret', true)
  const open = asTree(store.blocks, 'open', false)
  await secret.put(kept.all)
  await secret.put(sampleBlocks(60, 400, 9000))
  await store.blocks.flush()
  const report = await store.collect({ choose: () => ({ whole: [kept.cid], partial: [] }) })
  assert.ok(report.compactedPacks > 0, 'something was moved')
  await checkSeen(secret, owned, yes, 'compacted')
  await checkSeen(open, owned, no, 'compacted')
  fs.writeFileSync(path.join(root, 'file'), Buffer.concat(owned.map(({ bytes }) => bytes)))
  const id = await store.blocks.backings.create({
    purpose: 'check-out',
    label: 'secret',
    path: Buffer.from(root),
  })
  await store.blocks.backings.commit(id, [backedFile(root, 'file', owned)])
  await checkSeen(secret, owned, yes, 'checked out')
  await checkSeen(open, owned, no, 'checked out')
  await store.blocks.backings.evacuate(id, async (cids) => cids.map(() => true))
  await checkSeen(secret, owned, yes, 'evacuated')
  await checkSeen(open, owned, no, 'evacuated')
  await store.close()
})

test("a check-out whose block was lost does not make it everybody's", async (t) => {
  const dir = tempDirOf(t)
  const root = tempDirOf(t)
  const store = await openStore({ dir, clock: systemClock })
  const [one, ...rest] = BLOCKS
  const secret = asTree(store.blocks, 'secret', true)
  await secret.put(rest)
  fs.writeFileSync(path.join(root, 'file'), one!.bytes)
  const id = await store.blocks.backings.create({
    purpose: 'check-out',
    label: 'secret',
    path: Buffer.from(root),
  })
  await store.blocks.backings.commit(id, [backedFile(root, 'file', [one!])])
  await checkSeen(secret, [one!], yes)
  await checkSeen(asTree(store.blocks, 'open', false), [one!], no)
  await store.close()
})

test("a block that is lost and comes back through another tree is still the first one's", async (t) => {
  const dir = tempDirOf(t)
  const root = tempDirOf(t)
  const [packed, backed] = [BLOCKS.slice(0, 3), BLOCKS.slice(3, 6)]
  let store = await openStore({ dir, clock: systemClock })
  await asTree(store.blocks, 'secret', true).put(packed)
  await store.blocks.flush()
  await store.close()
  const [name] = fs.readdirSync(`${dir}/packs`)
  const bytes = fs.readFileSync(`${dir}/packs/${name}`)
  for (const block of packed) bytes[bytes.indexOf(Buffer.from(block.bytes))]! ^= 1
  fs.writeFileSync(`${dir}/packs/${name}`, bytes)
  store = await openStore({ dir, clock: systemClock })
  const [secret, other] = [asTree(store.blocks, 'secret', true), asTree(store.blocks, 'other', true)]
  fs.writeFileSync(path.join(root, 'file'), Buffer.concat(backed.map((block) => block.bytes)))
  const id = await secret.backings.create({ purpose: 'adopted', label: 'secret', path: Buffer.from(root) })
  await secret.backings.commit(id, [backedFile(root, 'file', backed)])
  await checkSeen(secret, backed, yes)
  await store.blocks.backings.drop(id)
  const lost = [...packed, ...backed]
  for (const { cid } of lost) assert.equal(await store.blocks.get(cid), undefined)
  await other.put(lost)
  await checkSeen(other, lost, yes)
  await checkSeen(secret, lost, yes)
  await checkSeen(asTree(store.blocks, 'third', true), lost, no)
  await checkSeen(asTree(store.blocks, 'open', false), lost, no)
  await store.close()
})

function tempDirOf(t: TestContext): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-trees-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}
