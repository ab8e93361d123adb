import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidKey, cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { nodeBlock } from '../../src/block/codec.ts'
import type { IndexedBlock, PageRef } from '../../src/dag/block-index.ts'
import { createBlockIndexBuilder, encodeBranch, encodePage } from '../../src/dag/block-index.ts'
import type { BlockRange } from '../../src/dag/encodings.ts'
import {
  decodeEncodings,
  decodePlan,
  encodeEncodings,
  encodePlan,
  isEncodings,
} from '../../src/dag/encodings.ts'
import { createIndexPositions } from '../../src/dag/index-positions.ts'
import { MAX_DELTA_BLOCKS, MAX_DELTA_RANGES } from '../../src/dag/limits.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import { createMemorySource } from './memory-source.ts'
import { SAMPLE_ENCODINGS, SAMPLE_PLAN, sampleBlocks } from './samples.ts'
import { chunkCid, collect } from './trees.ts'

const ranges = fc
  .array(fc.tuple(fc.nat({ max: 2 ** 31 - 1 }), fc.integer({ min: 1, max: 40 })), {
    minLength: 1,
    maxLength: 20,
  })
  .map((list): readonly BlockRange[] => list.map(([first, count]) => ({ first, count })))

test('sets and plans read back as they were written', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(ranges, ranges), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 50 }),
      fc.nat(),
      (pairs, nodes, decided) => {
        const entries = pairs.map(([targets, base]) => ({ targets, base }))
        const plan = encodePlan(entries)
        assert.deepEqual(decodePlan(plan.cid, plan.bytes), entries)
        const plans = Array.from({ length: nodes }, (_, i) => cidOf(DAG_CBOR, utf8(`plan ${i}`)))
        const set = { ...SAMPLE_ENCODINGS, plan: plans, decided }
        const block = encodeEncodings(set)
        assert.deepEqual(decodeEncodings(block.cid, block.bytes), set)
        assert.ok(isEncodings(block.bytes))
      },
    ),
  )
  assert.deepEqual(
    sampleBlocks()
      .filter(({ block }) => isEncodings(block.bytes))
      .map(({ kind }) => kind),
    ['encodings'],
  )
})

test('what is out of bounds is neither written nor read', () => {
  const refuses = (act: () => unknown, codes: readonly string[]): void => {
    assert.throws(act, (error) => isMirrorError(error) && codes.includes(error.code))
  }
  const raw = cidOf(RAW, utf8('raw'))
  for (const broken of [
    { base: SAMPLE_ENCODINGS.snapshot },
    { base: raw },
    { plan: [] },
    { plan: [raw] },
    { decided: -1 },
    { tree: 'No Tree' },
  ]) {
    refuses(() => encodeEncodings({ ...SAMPLE_ENCODINGS, ...broken }), ['invalid'])
    const { tree, snapshot, base, index, plan, decided } = { ...SAMPLE_ENCODINGS, ...broken }
    const { cid, bytes } = nodeBlock({ k: 'encodings', v: 1, tree, snapshot, base, index, plan, decided })
    refuses(() => decodeEncodings(cid, bytes), ['corrupt'])
  }
  const one = [{ first: 0, count: 1 }]
  const many = Array.from({ length: MAX_DELTA_RANGES + 1 }, (_, i) => ({ first: i, count: 1 }))
  const large = [
    { first: 0, count: MAX_DELTA_BLOCKS },
    { first: 5, count: 1 },
  ]
  for (const bad of [[], many, large, [{ first: 0, count: 0 }], [{ first: -1, count: 1 }]]) {
    refuses(() => encodePlan([{ targets: bad, base: one }]), ['invalid'])
    refuses(() => encodePlan([{ targets: one, base: bad }]), ['invalid'])
    const items = [[bad.flatMap(({ first, count }) => [first, count]), [0, 1]]]
    const { cid, bytes } = nodeBlock({ k: 'plan', v: 1, items })
    refuses(() => decodePlan(cid, bytes), ['corrupt', 'limit'])
  }
  refuses(() => encodePlan([]), ['invalid'])
  const { cid, bytes } = nodeBlock({ k: 'plan', v: 1, items: [] })
  refuses(() => decodePlan(cid, bytes), ['corrupt'])
  const odd = nodeBlock({
    k: 'plan',
    v: 1,
    items: [
      [
        [0, 1, 2],
        [0, 1],
      ],
    ],
  })
  refuses(() => decodePlan(odd.cid, odd.bytes), ['corrupt'])
  const later = nodeBlock({
    k: 'plan',
    v: 2,
    items: [
      [
        [0, 1],
        [0, 1],
      ],
    ],
  })
  refuses(() => decodePlan(later.cid, later.bytes), ['unsupported'])
  refuses(() => decodePlan(cid, encodeEncodings(SAMPLE_ENCODINGS).bytes), ['limit'])
  refuses(() => decodeEncodings(cid, encodePlan(SAMPLE_PLAN).bytes), ['corrupt'])
})

const blocksOf = (count: number): IndexedBlock[] =>
  Array.from({ length: count }, (_, i) => ({ cid: chunkCid(i), lengthBytes: 1 + (i % 5000) }))
const keysOf = (blocks: readonly IndexedBlock[]): string[] => blocks.map(({ cid }) => cidKey(cid))

test('an index that grows page by page keeps its pages, and reads as any other', async () => {
  const blocks = blocksOf(3000)
  const source = createMemorySource()
  const pages: PageRef[] = []
  for (let at = 0; at < blocks.length; at += 700) {
    const part = blocks.slice(at, at + 700)
    const page = encodePage(part)
    source.emit(page)
    const sizeBytes = part.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
    pages.push({ cid: page.cid, blocks: part.length, sizeBytes })
    const root = encodeBranch(pages)
    source.emit(root)
    const listed = await collect(listPages(source, root.cid))
    assert.deepEqual(listed, pages)
    const read: IndexedBlock[] = []
    for (const ref of listed) read.push(...(await readPage(source, ref)).blocks)
    assert.deepEqual(keysOf(read), keysOf(blocks.slice(0, at + part.length)))
  }
})

test('blocks are found by their positions, in the order that is asked for', async () => {
  const blocks = blocksOf(40_000)
  const source = createMemorySource()
  const builder = createBlockIndexBuilder(source.emit)
  for (const { cid, lengthBytes } of blocks) builder.add(cid, lengthBytes)
  const positions = createIndexPositions(source, builder.finish().root)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(blocks.length - 1), fc.integer({ min: 1, max: 3000 })), { maxLength: 4 }),
      async (wanted) => {
        const asked = wanted.map(([first, count]) => ({
          first,
          count: Math.min(count, blocks.length - first),
        }))
        const found = await positions.blocks(asked)
        const expected = asked.flatMap(({ first, count }) => blocks.slice(first, first + count))
        assert.deepEqual(keysOf(found), keysOf(expected))
      },
    ),
    { numRuns: 60 },
  )
  await assert.rejects(positions.blocks([{ first: blocks.length - 1, count: 2 }]), { code: 'corrupt' })
  await assert.rejects(positions.blocks([{ first: 2 ** 50, count: 1 }]), { code: 'corrupt' })
})
