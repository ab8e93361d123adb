/** Imports that leave chunks in the source's files. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { missingOf } from './missing-blocks.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, noise } from './trees.ts'

function makeSource(b: Bench): string {
  fs.mkdirSync(b.at('source', 'dir'), { recursive: true })
  fs.writeFileSync(b.at('source', 'large'), noise(12_000_000))
  fs.writeFileSync(b.at('source', 'dir', 'small'), noise(500, 2))
  for (let i = 0; i < 20; i++) fs.writeFileSync(b.at('source', 'dir', `file${i}`), noise(50_000, i + 10))
  fs.linkSync(b.at('source', 'large'), b.at('source', 'dir', 'link'))
  fs.writeFileSync(
    Buffer.concat([Buffer.from(`${b.at('source')}/`), Buffer.from([0xff, 0x80])]),
    noise(9000, 3),
  )
  return b.at('source')
}

const packBytes = ({ store }: Bench): number => store.stats().packBytes

test('an import in place gives the same snapshot, is whole, and takes a few percent of the tree', async (t) => {
  const b = await bench(t)
  const copying = await bench(t)
  const source = makeSource(b)
  const copied = await copying.import(source)
  const imported = await b.import(source, { inPlace: 'in-place' })
  assert.ok(imported.snapshot.index.equals(copied.snapshot.index))
  assert.deepEqual([imported.newBlocks, imported.newBytes], [copied.newBlocks, copied.newBytes])
  assert.equal(await missingOf(b, imported), 0)
  assert.ok(packBytes(b) < imported.bytes * 0.02, `${packBytes(b)} of ${imported.bytes}`)
  const [backing] = b.store.blocks.backings.list()
  assert.equal(backing?.id, imported.backingId)
  assert.deepEqual(
    [backing?.purpose, backing?.label, Buffer.from(backing!.path).toString()],
    ['in-place', 'test', source],
  )
  await b.checkOut(imported, b.at('out'))
  assert.deepEqual(describeTree(b.at('out')), describeTree(source))
  const file = await b.import(b.at('source', 'large'), { inPlace: 'in-place', tree: 'file' })
  assert.equal(await missingOf(b, file), 0)
})

test('a store opened again has what was imported in place', async (t) => {
  const b = await bench(t)
  const dir = b.at('again')
  const open = () => openStore({ dir, clock: systemClock })
  const first = { ...(await bench(t, await open())) }
  const imported = await first.import(makeSource(b), { inPlace: 'in-place' })
  await first.store.close()
  const second = await bench(t, await open())
  assert.equal(await missingOf(second, imported), 0)
})

test('a file changed behind our back makes its blocks missing, and publishing again finds what moved', async (t) => {
  const b = await bench(t)
  const source = makeSource(b)
  const first = await b.import(source, { inPlace: 'in-place' })
  fs.appendFileSync(b.at('source', 'dir', 'file0'), 'x')
  fs.writeFileSync(b.at('source', 'dir', 'file1'), noise(50_000, 99))
  fs.renameSync(b.at('source', 'dir', 'file2'), b.at('source', 'moved'))
  const second = await b.import(source, { inPlace: 'in-place' })
  assert.equal(second.backingId, first.backingId)
  assert.equal(await missingOf(b, second), 0)
  const missing = await missingOf(b, first)
  assert.ok(missing >= 1 && missing < 10, `${missing} blocks of the changed files and their directories`)
  await b.checkOut(second, b.at('out'))
  assert.deepEqual(describeTree(b.at('out')), describeTree(source))
})

test('an import that copies does not rely on the files of one in place', async (t) => {
  const b = await bench(t)
  const source = makeSource(b)
  await b.import(source, { inPlace: 'adopted' })
  const copied = await b.import(source)
  fs.rmSync(source, { recursive: true })
  assert.equal(await missingOf(b, copied), 0)
  assert.ok(packBytes(b) > copied.bytes / 2)
})

test('what is stored already is not backed, and copying a backing into packs frees the source', async (t) => {
  const b = await bench(t)
  const source = makeSource(b)
  const copied = await b.import(source)
  const again = await b.import(source, { inPlace: 'in-place' })
  assert.equal(again.backingId, undefined)
  assert.deepEqual(b.store.blocks.backings.list(), [])
  const other = await bench(t)
  const imported = await other.import(source, { inPlace: 'in-place' })
  await other.store.blocks.backings.evacuate(imported.backingId!, async (cids) => cids.map(() => true))
  fs.rmSync(source, { recursive: true })
  assert.equal(await missingOf(other, imported), 0)
  assert.equal(await missingOf(b, copied), 0)
})

test('an import in place that fails leaves no backing, or says what it leaves and is gone on with', async (t) => {
  const b = await bench(t)
  const source = makeSource(b)
  const { blocks } = b.store
  const failing = (when: 'before' | 'after'): BlockStore => ({
    ...blocks,
    backings: {
      ...blocks.backings,
      async commit(id, files) {
        if (when === 'after') await blocks.backings.commit(id, files)
        throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
      },
    },
  })
  const importWith = (store: BlockStore, tempDir: string) =>
    importTree(
      { blocks: store, tempDir, clock: systemClock },
      { path: source, tree: 'test', inPlace: 'in-place' },
    )
  await assert.rejects(importWith(blocks, b.at('no-such-folder')), { code: 'not-found' })
  assert.deepEqual(blocks.backings.list(), [])
  await assert.rejects(importWith(failing('before'), b.at('tmp')), { code: 'io' })
  assert.deepEqual(blocks.backings.list(), [])
  let left = 0
  await assert.rejects(importWith(failing('after'), b.at('tmp')), (error) => {
    assert.ok(isMirrorError(error, 'io'))
    left = Number(error.facts.backing)
    assert.match(error.hint ?? '', new RegExp(`mirrormesh store drop-backing ${left}$`))
    return true
  })
  assert.equal((await b.import(source, { inPlace: 'in-place' })).backingId, left)
})

test('a dry run in place counts as the real one does, and neither stores nor backs anything', async (t) => {
  const b = await bench(t)
  const source = makeSource(b)
  const before = b.store.stats()
  const dry = await b.import(source, { inPlace: 'in-place', isDry: true })
  assert.deepEqual(b.store.stats(), before)
  assert.deepEqual(b.store.blocks.backings.list(), [])
  assert.equal(dry.backingId, undefined)
  const real = await b.import(source, { inPlace: 'in-place' })
  assert.deepEqual([dry.newBlocks, dry.newBytes], [real.newBlocks, real.newBytes])
  assert.ok(dry.snapshot.index.equals(real.snapshot.index))
  // With something there already, and a file that moved on: what is backed stays as it is known.
  fs.writeFileSync(b.at('source', 'dir', 'file3'), noise(50_000, 77))
  const [backing] = b.store.blocks.backings.list()
  const size = await b.store.blocks.backings.measure(backing!.id)
  const again = await b.import(source, { inPlace: 'in-place', isDry: true })
  assert.ok(again.newBlocks >= 2 && again.newBlocks < 10, `${again.newBlocks}`)
  assert.deepEqual(await b.store.blocks.backings.measure(backing!.id), size)
  assert.equal(b.store.blocks.backings.list().length, 1)
})
