/** Which nodes of the older index a site is told to ask over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cidKey } from '../../src/block/cid.ts'
import { encodeWindowed } from '../../src/block/encoding.ts'
import type { IndexedBlock } from '../../src/dag/block-index.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { loadPageBases, MAX_BASES } from '../../src/dag/page-bases.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import { createMemorySource } from './memory-source.ts'
import { chunkCid, collect } from './trees.ts'

type Source = ReturnType<typeof createMemorySource>

const block = (n: number): IndexedBlock => ({ cid: chunkCid(n), lengthBytes: 1 + (n % 1000) })
const range = (from: number, to: number): IndexedBlock[] =>
  Array.from({ length: to - from }, (_, i) => block(from + i))

function build(source: Source, blocks: readonly IndexedBlock[]) {
  const builder = createBlockIndexBuilder(source.emit)
  for (const { cid, lengthBytes } of blocks) builder.add(cid, lengthBytes)
  return builder.finish().root
}

/** Reads the newer index as a fetch does. Returns what its new nodes take whole, and over their bases. */
async function weigh(source: Source, before: readonly IndexedBlock[], after: readonly IndexedBlock[]) {
  const base = build(source, before)
  /** By the asker: what came is not asked for again. */
  const held = new Set([
    cidKey(base),
    ...(await collect(listPages(source, base))).map(({ cid }) => cidKey(cid)),
  ])
  const older = new Set(held)
  const target = build(source, after)
  const bases = (await loadPageBases(source, { target, base }))!
  const sums = { nodes: 0, plain: 0, sent: 0 }
  const asking = {
    async get(cid: Parameters<Source['get']>[0]) {
      const named = bases.basesOf(cid)
      const bytes = (await source.get(cid))!
      bases.note(cid, bytes)
      if (held.has(cidKey(cid))) return bytes
      held.add(cidKey(cid))
      assert.ok(named.length <= MAX_BASES)
      for (const each of named) assert.ok(older.has(cidKey(each)), 'a base is of the older index')
      const window = Buffer.concat(await Promise.all(named.map(async (each) => (await source.get(each))!)))
      const frame = named.length === 0 ? undefined : await encodeWindowed(bytes, new Uint8Array(window))
      sums.nodes += 1
      sums.plain += bytes.length
      sums.sent += frame?.length ?? bytes.length
      return bytes
    },
  }
  for await (const page of listPages(asking, target)) await readPage(asking, page)
  return sums
}

test('pages with a few new blocks are asked for over what was there before, wherever that has moved to', async () => {
  const before = range(0, 60_000)
  let fresh = 100_000
  const some = (count: number): IndexedBlock[] => {
    fresh += count
    return range(fresh - count, fresh)
  }
  for (const [what, after, share] of [
    ['one changed', before.with(30_000, block(++fresh)), 0.05],
    [
      'many added at the start',
      [...some(3000), ...before.slice(0, 40_000), ...some(5), ...before.slice(40_005)],
      0.7,
    ],
    ['a part taken out', before.toSpliced(10_000, 7000).toSpliced(30_000, 1, ...some(3)), 0.1],
    ['something in every page', before.map((each, i) => (i % 200 === 0 ? block(++fresh) : each)), 0.1],
    ['a small index', [...before.slice(0, 200), ...some(3)], 1],
  ] as const) {
    const { nodes, plain, sent } = await weigh(createMemorySource(), before, after)
    assert.ok(nodes > 0 && sent <= share * plain, `${what}: ${sent} of ${plain} bytes in ${nodes} nodes`)
  }
})

test('of a single page the older page is the base', async () => {
  const before = range(0, 200)
  const { nodes, plain, sent } = await weigh(createMemorySource(), before, [...before, block(300)])
  assert.ok(nodes === 1 && sent < 0.05 * plain, `${sent} of ${plain} bytes in ${nodes}`)
})

test('whatever the two indexes are, bases are of the older one, and never more than a request takes', async () => {
  const edits = fc.array(fc.record({ at: fc.nat(6000), out: fc.nat(2000), added: fc.nat(1500) }), {
    maxLength: 6,
  })
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 6000 }), edits, async (count, list) => {
      let fresh = 1_000_000
      const before = range(0, count)
      const after = list.reduce((blocks, { at, out, added }) => {
        fresh += added
        return blocks.toSpliced(at, out, ...range(fresh - added, fresh))
      }, before)
      const { plain, sent } = await weigh(createMemorySource(), before, after)
      assert.ok(sent <= plain)
    }),
    { numRuns: 15 },
  )
})

test('an older index that is not all here has no bases', async () => {
  const source = createMemorySource()
  const base = build(source, range(0, 5000))
  const target = build(createMemorySource(), range(0, 5001))
  const without = { get: async () => undefined }
  assert.equal(await loadPageBases(without, { target, base }), undefined)
})
