import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import { createIndexSearch } from '../../src/replica/serve/index-search.ts'
import { createPageFingerprints } from '../../src/replica/serve/page-fingerprints.ts'
import { createMemorySource } from '../dag/memory-source.ts'

const BLOCKS = 60_000
const cidAt = (i: number) => cidOf(RAW, utf8(`block ${i}`))

async function setUp() {
  const source = createMemorySource()
  const builder = createBlockIndexBuilder(source.emit)
  for (let i = 0; i < BLOCKS; i++) builder.add(cidAt(i), 100 + (i % 7))
  const { root } = builder.finish()
  const pages: { cid: string; first: number }[] = []
  let first = 0
  for await (const ref of listPages(source, root)) {
    pages.push({ cid: ref.cid.toString(), first })
    first += ref.blocks
  }
  source.takeReads()
  return { source, root, pages }
}

test('every block is found where it stands, from the end, the beginning and between', async () => {
  const { source, root, pages } = await setUp()
  const search = createIndexSearch(source, root)
  for (const i of [BLOCKS - 1, 0, 31_000, 30_999, 31_001, 59_000, 5, BLOCKS - 1]) {
    const found = await search.find(cidAt(i))
    const page = pages.findLast(({ first }) => first <= i)!
    assert.deepEqual(
      [found?.page.toString(), found?.offset, found?.lengthBytes],
      [page.cid, i - page.first, 100 + (i % 7)],
    )
    const { blocks } = await readPage(source, found!.page)
    assert.ok(blocks[found!.offset]!.cid.equals(cidAt(i)))
  }
})

test('what comes after the last find, or shortly before it, costs no more than the page it lies in', async () => {
  const { source, root } = await setUp()
  const search = createIndexSearch(source, root)
  await search.find(cidAt(40_000))
  source.takeReads()
  for (let i = 40_001; i < 40_050; i++) await search.find(cidAt(i))
  for (let i = 39_990; i < 40_000; i++) await search.find(cidAt(i))
  assert.ok(source.takeReads() <= 2)
})

test('a block that is not listed is not found, after every page was read once', async () => {
  const { source, root, pages } = await setUp()
  const search = createIndexSearch(source, root)
  assert.equal(await search.find(cidOf(RAW, utf8('another'))), undefined)
  assert.ok(source.takeReads() <= pages.length + 4)
})

test('an index of one page is searched as well', async () => {
  const source = createMemorySource()
  const builder = createBlockIndexBuilder(source.emit)
  for (let i = 0; i < 10; i++) builder.add(cidAt(i), 100)
  const { root } = builder.finish()
  const search = createIndexSearch(source, root)
  assert.deepEqual(await search.find(cidAt(3)), { page: root, offset: 3, lengthBytes: 100 })
  assert.equal(await search.find(cidAt(11)), undefined)
})

test('readers who jump about cost a walk through the index once, and then a page each', async () => {
  const { source, root, pages } = await setUp()
  const search = createIndexSearch(source, root)
  const far = Array.from({ length: 120 }, (_, i) => (i * 48_611) % BLOCKS)
  for (const i of far) assert.ok(await search.find(cidAt(i)))
  const reads = source.takeReads()
  assert.ok(reads <= 2 * pages.length + far.length + 8, `${reads} reads of ${pages.length} pages`)
  for (let i = 0; i < 50; i++) assert.equal(await search.find(cidOf(RAW, utf8(`none ${i}`))), undefined)
  assert.ok(source.takeReads() <= pages.length, 'each page is known by now')
  for (let i = 50; i < 100; i++) await search.find(cidOf(RAW, utf8(`none ${i}`)))
  assert.ok(source.takeReads() <= 1)
})

test('what was learned of pages serves the searches of other snapshots, and all who wait', async () => {
  const { source, root, pages } = await setUp()
  const fingerprints = createPageFingerprints()
  const first = createIndexSearch(source, root, fingerprints)
  assert.equal(await first.find(cidOf(RAW, utf8('none'))), undefined)
  source.takeReads()
  const second = createIndexSearch(source, root, fingerprints)
  const far = Array.from({ length: 20 }, (_, i) => (i * 48_611) % BLOCKS)
  const found = await Promise.all(far.map((i) => second.find(cidAt(i))))
  assert.ok(found.every((each) => each !== undefined))
  assert.ok(source.takeReads() <= far.length + 4)
  // Without it twenty at once look through the index once, not twenty times.
  const third = createIndexSearch(source, root)
  await Promise.all(far.map((i) => third.find(cidAt(i))))
  assert.ok(source.takeReads() <= pages.length + far.length + 8)
})

test('pages that are forgotten are read again, and nothing else changes', async () => {
  const { source, root } = await setUp()
  const search = createIndexSearch(source, root, createPageFingerprints(20_000))
  for (let i = 0; i < 20; i++) {
    const at = (i * 48_611) % BLOCKS
    const found = await search.find(cidAt(at))
    const { blocks } = await readPage(source, found!.page)
    assert.ok(blocks[found!.offset]!.cid.equals(cidAt(at)))
  }
})
