import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidFromDigest, cidKey, cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { nodeBlock } from '../../src/block/codec.ts'
import type { IndexedBlock, IndexPage } from '../../src/dag/block-index.ts'
import { createBlockIndexBuilder, decodeIndexNode } from '../../src/dag/block-index.ts'
import { createFingerprintSet } from '../../src/dag/fingerprint-set.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import { segmentsOf } from '../../src/dag/segment.ts'
import { createMemorySource } from './memory-source.ts'
import { chunkCid, collect } from './trees.ts'

const blocksOf = (count: number): IndexedBlock[] =>
  Array.from({ length: count }, (_, i) => ({ cid: chunkCid(i), lengthBytes: 1 + i }))

const build = (blocks: readonly IndexedBlock[], source = createMemorySource()) => {
  const builder = createBlockIndexBuilder(source.emit)
  for (const { cid, lengthBytes } of blocks) builder.add(cid, lengthBytes)
  return { source, ...builder.finish() }
}

test('an index reads back as its blocks, once each, in order', async () => {
  for (const count of [0, 1, 255, 5_000]) {
    const blocks = blocksOf(count)
    const { source, root, ...totals } = build([...blocks, ...blocks])
    const pages = await collect(listPages(source, root))
    const read: IndexedBlock[] = []
    for (const ref of pages) read.push(...(await readPage(source, ref)).blocks)
    assert.deepEqual(
      read.map(({ cid, lengthBytes }) => [cidKey(cid), lengthBytes]),
      blocks.map(({ cid, lengthBytes }) => [cidKey(cid), lengthBytes]),
    )
    const sizeBytes = blocks.reduce((sum, block) => sum + block.lengthBytes, 0)
    assert.deepEqual(totals, { blocks: count, sizeBytes })
    assert.equal(
      pages.reduce((sum, page) => sum + page.blocks, 0),
      count,
    )
  }
})

test('two snapshots that share most blocks share most pages', async () => {
  const blocks = blocksOf(60_000)
  const first = build(blocks)
  const known = new Set((await collect(listPages(first.source, first.root))).map(({ cid }) => cidKey(cid)))
  assert.ok(known.size > 30, `${known.size} pages`)
  const fresh = { cid: cidOf(RAW, utf8('fresh')), lengthBytes: 5 }
  const second = build([fresh, ...blocks.toSpliced(30_000, 3)], first.source)
  const pages = await collect(listPages(second.source, second.root))
  const added = pages.filter(({ cid }) => !known.has(cidKey(cid)))
  assert.ok(added.length <= 6, `${added.length} of ${pages.length} pages are new`)
})

test('listing the pages reads no page', async () => {
  const { source, root } = build(blocksOf(60_000))
  source.takeReads()
  const pages = await collect(listPages(source, root))
  assert.ok(source.takeReads() < pages.length / 10)
})

test('a fingerprint set is a set of CIDs, through every growth', () => {
  const set = createFingerprintSet()
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5_000; i++) assert.equal(set.add(chunkCid(i)), round === 0)
  }
  assert.equal(set.size, 5_000)
  // The codec counts, and a digest of zeros is a digest.
  assert.ok(set.add(cidFromDigest(DAG_CBOR, chunkCid(1).multihash.digest)))
  assert.ok(set.add(cidFromDigest(RAW, new Uint8Array(32))))
  assert.ok(!set.add(cidFromDigest(RAW, new Uint8Array(32))))
})

test('a page whose blocks are not what its branch says is corrupt', async () => {
  const { source, root } = build(blocksOf(10))
  const [ref] = await collect(listPages(source, root))
  for (const lie of [
    { ...ref!, blocks: 11 },
    { ...ref!, sizeBytes: ref!.sizeBytes + 1 },
  ]) {
    await assert.rejects(readPage(source, lie), (error) => isMirrorError(error, 'corrupt'))
  }
})

test('an index that names one page again and again is refused at the second', async () => {
  const { source, root } = build(blocksOf(5))
  const page = { cid: root, blocks: 5, sizeBytes: 15 }
  const indexNode = (level: number, of: { cid: typeof root; blocks: number; sizeBytes: number }) => {
    const items = Array.from({ length: 16_384 }, () => [of.cid, of.blocks, of.sizeBytes])
    const block = nodeBlock({ k: 'index', l: level, v: 1, items })
    source.emit(block)
    return { cid: block.cid, blocks: of.blocks * 16_384, sizeBytes: of.sizeBytes * 16_384 }
  }
  // A few kilobytes that stand for 4 billion pages.
  const bomb = indexNode(2, indexNode(1, page))
  let pages = 0
  await assert.rejects(
    async () => {
      for await (const _ of listPages(source, bomb.cid)) if (++pages > 1) break
      assert.fail(`${pages} pages, and no end`)
    },
    { code: 'corrupt', message: /twice/ },
  )
})

test('nodes that cannot be are corrupt', () => {
  const key = [RAW, ...chunkCid(0).multihash.digest]
  const node = cidOf(DAG_CBOR, utf8('x'))
  for (const [l, items] of [
    [0, Uint8Array.from([...key, 0, 0, 0, 0])],
    [0, Uint8Array.from([...key, 0, 0x40, 0, 1])],
    [0, Uint8Array.from([...key, 0, 0, 0])],
    [0, Uint8Array.from([0x70, ...key.slice(1), 0, 0, 0, 1])],
    [0, []],
    [1, []],
    [1, [[node, 0, 0]]],
    [1, [[node, 2, 1]]],
    [1, [[node, 1, 4 * 1024 * 1024 + 1]]],
    [1, [[chunkCid(0), 1, 1]]],
  ] as const) {
    const { cid, bytes } = nodeBlock({ k: 'index', l, v: 1, items })
    assert.throws(
      () => decodeIndexNode(cid, bytes),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
})

test('segments cover a page once, in order, of 0.5 to 2 MiB where its blocks allow', () => {
  const lengths = fc.array(
    fc.oneof(
      fc.integer({ min: 1, max: 4 << 20 }),
      fc.integer({ min: 1, max: 200_000 }),
      fc.integer({ min: 1, max: 99 }),
    ),
    { maxLength: 300, size: 'max' },
  )
  const MIB = 1 << 20
  fc.assert(
    fc.property(lengths, (all) => {
      const page: IndexPage = {
        cid: cidOf(DAG_CBOR, utf8('page')),
        blocks: all.map((lengthBytes, i) => ({ cid: chunkCid(i % 7), lengthBytes })),
      }
      const segments = segmentsOf(page)
      let next = 0
      for (const [i, { firstBlock, endBlock, sizeBytes }] of segments.entries()) {
        assert.equal(firstBlock, next)
        assert.ok(endBlock > firstBlock)
        next = endBlock
        assert.equal(
          sizeBytes,
          all.slice(firstBlock, endBlock).reduce((sum, each) => sum + each, 0),
        )
        if (endBlock - firstBlock > 1) assert.ok(sizeBytes <= 2 * MIB)
        // A smaller one stands only before a block that would not fit, or at the end.
        const isLast = i === segments.length - 1
        if (!isLast && sizeBytes < MIB / 2) assert.ok(sizeBytes + all[endBlock]! > 2 * MIB)
      }
      assert.equal(next, all.length)
      assert.deepEqual(segmentsOf(page), segments)
    }),
    { numRuns: 100 },
  )
})
