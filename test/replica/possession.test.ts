/** What a site shows of a snapshot cannot be shown without it, and what it is asked for is drawn from all that it holds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import type { PathFilter } from '../../src/base/path-filter.ts'
import { type Cid, cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { listPages, readPage } from '../../src/dag/read-index.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { NodeSource } from '../../src/dag/source.ts'
import { commonFilter, drawPositions, showPossession } from '../../src/replica/copies/possession.ts'
import {
  decodePossession,
  decodeQuestion,
  encodePossession,
  encodeQuestion,
} from '../../src/replica/questions.ts'
import { directoryPlan } from '../dag/trees.ts'
import { createMesh, filesPlan, publish } from './mesh.ts'

const PLAN = directoryPlan({
  noarch: filesPlan(60, 2000, 1),
  x86_64: directoryPlan({ debug: filesPlan(20, 2000, 2), main: filesPlan(20, 2000, 3) }),
})

const SNAPSHOT = cidOf(DAG_CBOR, utf8('snapshot'))

async function positions(source: NodeSource, snapshot: Cid): Promise<Cid[]> {
  const { index } = decodeSnapshot(snapshot, (await source.get(snapshot))!)
  const all: Cid[] = []
  for await (const ref of listPages(source, index))
    all.push(...(await readPage(source, ref)).blocks.map(({ cid }) => cid))
  return all
}

test('two that hold the snapshot show the same, and who lacks one block of those asked for shows nothing', async () => {
  const mesh = createMesh()
  const [hq, lab] = [mesh.add('hq', 'east'), mesh.add('lab', 'west')]
  const { cid } = await publish(hq, PLAN)
  await mesh.fetch(lab, cid).done
  const all = await positions(hq.store.blocks, cid)
  const at = await drawPositions(hq.store.blocks, cid, { count: 8, random: Math.random })
  assert.equal(at.length, 8)
  const question = { holder: 'lab', root: cid, nonce: new Uint8Array(32).fill(9), at }
  const shown = await showPossession(hq.store.blocks, question)
  assert.deepEqual(await showPossession(lab.store.blocks, question), shown)
  assert.notDeepEqual(
    await showPossession(lab.store.blocks, { ...question, nonce: new Uint8Array(32) }),
    shown,
  )
  assert.notDeepEqual(await showPossession(lab.store.blocks, { ...question, holder: 'hq' }), shown)
  for (const missing of [cid, ...at.map((position) => all[position]!)]) {
    const without: NodeSource = {
      get: async (each) => (each.equals(missing) ? undefined : lab.store.blocks.get(each)),
    }
    assert.equal(await showPossession(without, question), undefined)
  }
  assert.equal(await showPossession(lab.store.blocks, { ...question, at: [0, all.length] }), undefined)
})

test('positions rise, lie in the index, and each is as likely as any other', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const { cid } = await publish(hq, PLAN)
  const all = await positions(hq.store.blocks, cid)
  const hits = new Array<number>(all.length).fill(0)
  const draws = 400
  let seed = 1
  const random = (): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed / 2 ** 32
  }
  for (let i = 0; i < draws; i++) {
    const at = await drawPositions(hq.store.blocks, cid, { count: 8, random })
    assert.ok(at.every((position, n) => position > (at[n - 1] ?? -1) && position < all.length))
    for (const position of at) hits[position]!++
  }
  const mean = (draws * 8) / all.length
  assert.ok(Math.min(...hits) > mean / 4, `${Math.min(...hits)} of ${mean}`)
  assert.ok(Math.max(...hits) < mean * 2.5, `${Math.max(...hits)} of ${mean}`)
  // Of few there are no more than there are.
  assert.deepEqual(
    await drawPositions(hq.store.blocks, cid, { count: all.length + 5, random }),
    all.map((_, i) => i),
  )
})

test('of a site with a path filter only what it holds is asked for, by one that holds all or the same part', async () => {
  const mesh = createMesh()
  const [hq, lab] = [mesh.add('hq', 'east'), mesh.add('lab', 'west')]
  const { cid } = await publish(hq, PLAN)
  const filter: PathFilter = [{ include: ['x86_64'], exclude: ['x86_64/debug'] }]
  lab.filter = filter
  const { view } = await mesh.fetch(lab, cid).done
  const all = await positions(hq.store.blocks, cid)
  const held = await lab.store.blocks.has(all)
  const expected = all.flatMap((_, i) => (held[i] ? [i] : []))
  assert.ok(expected.length < all.length)
  const draw = { count: all.length, random: Math.random, filter }
  assert.deepEqual(await drawPositions(hq.store.blocks, cid, draw), expected)
  assert.deepEqual(await drawPositions(lab.store.blocks, cid, { ...draw, view }), expected)
  const few = await drawPositions(hq.store.blocks, cid, { ...draw, count: 8 })
  assert.equal(few.length, 8)
  const question = { holder: 'lab', root: cid, nonce: new Uint8Array(32), at: few }
  assert.deepEqual(
    await showPossession(lab.store.blocks, question),
    await showPossession(hq.store.blocks, question),
  )
  assert.equal(commonFilter(undefined, filter), filter)
  assert.equal(commonFilter(filter, undefined), filter)
  assert.equal(commonFilter(filter, [{ include: ['noarch'], exclude: [] }]), 'nothing')
})

test('a question says what it asks, within bounds, and what is none is refused', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uniqueArray(fc.nat(), { minLength: 1, maxLength: 8 }),
      (nonce, at) => {
        const question = {
          ask: 'possession',
          tree: 'builds/x',
          root: SNAPSHOT,
          nonce,
          at: at.sort((a, b) => a - b),
        } as const
        assert.deepEqual(decodeQuestion(encodeQuestion(question)), question)
        assert.deepEqual(decodePossession(encodePossession(nonce)), nonce)
      },
    ),
  )
  const question = {
    ask: 'possession',
    tree: 'builds/x',
    root: SNAPSHOT,
    nonce: new Uint8Array(32),
    at: [1],
  } as const
  for (const wrong of [
    { nonce: new Uint8Array(31) },
    { at: [] },
    { at: [2, 1] },
    { at: [1, 1] },
    { at: [-1] },
    { at: [0.5] },
    { at: [1, 2, 3, 4, 5, 6, 7, 8, 9] },
    { tree: 'no tree!' },
  ]) {
    assert.throws(() => decodeQuestion(encodeQuestion({ ...question, ...wrong })))
  }
  assert.equal(decodePossession(encodePossession(undefined)), undefined)
  assert.throws(() => decodePossession(encodePossession(new Uint8Array(31))), { code: 'corrupt' })
})
