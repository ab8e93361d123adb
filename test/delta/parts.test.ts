/** The parts of the finder by themselves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cidKey, cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { createAnchorIndex } from '../../src/delta/anchor-index.ts'
import { visitAnchors } from '../../src/delta/anchors.ts'
import { openIndexMap } from '../../src/delta/index-map.ts'
import { makeDeltas } from '../../src/delta/make-deltas.ts'
import { findNewBlocks } from '../../src/delta/new-blocks.ts'
import { createPositionTable } from '../../src/delta/position-table.ts'
import { createMemorySource } from '../dag/memory-source.ts'
import { collect } from '../dag/trees.ts'
import { checkDeltas, edited, type Files, histories, listBlocks, noise, snapshotOf } from './snapshots.ts'

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test('a table of positions answers as a map does, and tells chunks from nodes', () => {
  const table = createPositionTable()
  const bytes = (i: number): Uint8Array => Buffer.from(`block ${i}`)
  for (const i of range(5000)) table.add(cidOf(RAW, bytes(i)), 4_294_967_295 - i)
  table.add(cidOf(RAW, bytes(7)), 1)
  assert.equal(table.size, 5000)
  for (const i of range(5000)) {
    assert.equal(table.find(cidOf(RAW, bytes(i))), 4_294_967_295 - i)
    assert.equal(table.find(cidOf(DAG_CBOR, bytes(i))), undefined)
  }
})

test('what is new, and where the rest lies, is what the two whole indexes say', async () => {
  await fc.assert(
    fc.asyncProperty(histories, async ({ before, after }) => {
      const source = createMemorySource()
      const [a, b] = [snapshotOf(before, source.emit), snapshotOf(after, source.emit)]
      const [olds, targets] = [await listBlocks(source, a), await listBlocks(source, b)]
      const indexOf = async (cid: typeof a) => decodeSnapshot(cid, (await source.get(cid))!).index
      const news = (await findNewBlocks(source, { base: await indexOf(a), target: await indexOf(b) }))!
      const held = new Map(olds.map(({ cid }, at) => [cidKey(cid), at]))
      const wanted = new Set(targets.map(({ cid }) => cidKey(cid)))
      assert.equal(news.count, targets.filter(({ cid }) => !held.has(cidKey(cid))).length)
      for (const [at, { cid }] of targets.entries()) {
        assert.equal(news.newPosition(cid), held.has(cidKey(cid)) ? undefined : at)
        assert.equal(await news.basePosition(cid), held.get(cidKey(cid)))
      }
      const lost = (await collect(news.removedBlocks())).map(({ position }) => position)
      const expected = [...olds.keys()].filter((at) => !wanted.has(cidKey(olds[at]!.cid)))
      assert.deepEqual(lost, expected)
    }),
    { numRuns: 60 },
  )
})

test('an address of the base is in the block that holds it', async () => {
  const source = createMemorySource()
  const files: Files = new Map(range(30).map((i) => [`f${i}`, [noise(i, 1 + 97 * i), noise(i + 99, 10)]]))
  const cid = snapshotOf(files, source.emit)
  const blocks = await listBlocks(source, cid)
  const map = (await openIndexMap(source, decodeSnapshot(cid, (await source.get(cid))!).index))!
  let address = 0
  for (const [position, { bytes }] of blocks.entries()) {
    for (const at of [address, address + bytes.length - 1])
      assert.equal((await map.blockHolding(at)).position, position)
    assert.equal((await map.blockAt(position)).address, address)
    address += bytes.length
  }
  assert.equal(map.sizeBytes, address)
  await assert.rejects(map.blockHolding(address), /was asked for/)
  await assert.rejects(map.blockAt(blocks.length), /was asked for/)
})

test('anchors are where the content is: the same ones after whatever was put before it', () => {
  const content = noise(3, 200_000)
  const anchors = (bytes: Uint8Array): [number, number][] => {
    const found: [number, number][] = []
    visitAnchors(bytes, (hash, offset) => found.push([hash, offset]))
    return found
  }
  const plain = anchors(content)
  assert.ok(plain.length > 100 && plain.length < 400, `${plain.length} anchors`)
  const shift = 12_345
  const shifted = new Set(
    anchors(Buffer.concat([noise(4, shift), content])).map(([h, at]) => `${h} ${at - shift}`),
  )
  const same = plain.filter(([hash, at]) => shifted.has(`${hash} ${at}`)).length
  assert.ok(same > plain.length * 0.95, `${same} of ${plain.length}`)
  assert.ok(anchors(new Uint8Array(1_000_000)).length <= 1_000_000 / 128 + 1)
  assert.deepEqual(anchors(new Uint8Array(5)), [])
})

test('blocks are located by what most of their anchors say, and not at all by one', () => {
  const base = noise(8, 400_000)
  const index = createAnchorIndex(1000)
  index.add(base, 5_000_000)
  const run = Buffer.concat([noise(9, 60_000), base.subarray(100_000, 160_000), base.subarray(0, 60_000)])
  const [none, middle, start] = index.locate(run, [60_000, 60_000, 60_000])
  assert.equal(none, undefined)
  assert.deepEqual(middle, { from: 5_100_000, to: 5_160_000 })
  assert.deepEqual(start, { from: 5_000_000, to: 5_060_000 })
  const full = createAnchorIndex(10)
  full.add(base, 0)
  assert.equal(full.anchors, 10)
})

test('a file of more changed blocks than are held, and files scattered over a tree, stay within the bounds', async () => {
  const source = createMemorySource()
  const long = range(4200).map((i) => noise(i, 90))
  const scattered = (change: (bytes: Uint8Array, i: number) => Uint8Array): [string, Uint8Array[]][] =>
    range(400).map((i) => [`s/${i}`, [i % 2 === 0 ? change(noise(9000 + i, 600), i) : noise(9000 + i, 600)]])
  const before: Files = new Map([['long', long], ...scattered((bytes) => bytes)])
  const after: Files = new Map([['long', long.map((bytes, i) => edited(bytes, i))], ...scattered(edited)])
  const [base, target] = [snapshotOf(before, source.emit), snapshotOf(after, source.emit)]
  const deltas = await collect(makeDeltas({ source }, { target, base, workers: 0 }))
  const made = checkDeltas(deltas, await listBlocks(source, target), await listBlocks(source, base))
  assert.ok(made.size > 4350, `${made.size} blocks are made`)
  assert.ok(deltas.length < 30, `${deltas.length} deltas`)
})
