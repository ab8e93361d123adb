/** Which sets of deltas stay, and that a collection leaves what they need. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cid } from '../../src/block/cid.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import type { SnapshotEncodings, TreeState } from '../../src/record/mesh-state.ts'
import { openSetWriter } from '../../src/replica/deltas/set-writer.ts'
import { planSets } from '../../src/replica/retain/set-retention.ts'
import { keyOf, snapshotOf } from '../record/author.ts'
import { createMesh, publish, TREE } from './mesh.ts'
import { makeSimpleDeltas, noisePlan } from './simple-deltas.ts'

const name = (n: number): Cid => snapshotOf(`version ${n}`)

/** Versions 1 to 5, each with a set against the one before, of 40 bytes, and one against the one before that. */
function history(): Pick<TreeState, 'encodings' | 'newest'> {
  const origin = { record: name(0), issuer: keyOf('publisher').peer, timeMs: 0 }
  const encodings = new Map<string, SnapshotEncodings[]>()
  for (let n = 2; n <= 5; n++) {
    const against = [n - 1, n - 2].filter((base) => base >= 1)
    encodings.set(
      name(n).toString(),
      against.map((base) => ({
        body: {
          tree: TREE,
          snapshot: name(n),
          base: name(base),
          sequence: n,
          set: snapshotOf(`set ${n} ${base}`),
          version: 1,
          isComplete: true,
          bytes: 40,
          targetBytes: 400,
        },
        baseSequence: base,
        origin,
      })),
    )
  }
  const newest = {
    id: name(5),
    tree: TREE,
    epoch: 1,
    sequence: 5,
    snapshot: name(5),
    previous: name(4),
    publisher: origin.issuer,
    timeMs: 0,
    counts: { blockBytes: 1000 },
  }
  return { encodings, newest }
}

const keep = (...versions: number[]) => ({
  kept: versions.map((n) => ({ tree: TREE, snapshot: name(n), isComplete: true, reasons: ['kept'] })),
})
const text = (sets: readonly Cid[]): string[] => sets.map(String)
const set = (n: number, base: number): string => snapshotOf(`set ${n} ${base}`).toString()

test('a set stays as long as both its snapshots do, the newest first, within its share', () => {
  const state = { trees: new Map([[TREE, history()]]) }
  assert.deepEqual(text(planSets(state, keep(5, 4, 3), { maxDeltaShare: 1 })), [
    set(5, 4),
    set(5, 3),
    set(4, 3),
  ])
  assert.deepEqual(text(planSets(state, keep(5, 3), { maxDeltaShare: 1 })), [set(5, 3)])
  assert.deepEqual(text(planSets(state, keep(5), { maxDeltaShare: 1 })), [])
  assert.deepEqual(text(planSets(state, keep(5, 4, 3))), [set(5, 4), set(5, 3)])
  assert.deepEqual(text(planSets(state, keep(5, 4, 3), { maxDeltaShare: 0 })), [])
})

test('a collection leaves a set that is named, or leased, with all that it lists, and takes another', async () => {
  const hq = createMesh().add('hq', 'east')
  const { blocks } = hq.store
  const one = (await publish(hq, noisePlan(12, 9000, 1))).cid
  const two = (await publish(hq, noisePlan(12, 9000, 2))).cid
  const writer = await openSetWriter(
    { blocks, holdings: hq.holdings },
    { tree: TREE, snapshot: two, base: one },
  )
  const deltas: Cid[] = []
  for await (const delta of makeSimpleDeltas({ source: blocks }, { target: two, base: one })) {
    await writer.add(delta)
    await writer.step()
    deltas.push(cidOf(RAW, delta.bytes))
  }
  const found = writer.state().set!
  const collect = (partial: readonly Cid[]) =>
    hq.store.collect({ choose: () => ({ whole: [one, two], partial }) })
  const isHere = async (): Promise<boolean[]> => blocks.has([found, ...deltas])

  await collect([])
  assert.ok(!(await isHere()).includes(false), 'the writer holds it')
  writer.close()
  await collect([found])
  assert.ok(!(await isHere()).includes(false), 'it is named')
  const lease = blocks.lease({ purpose: 'a fetch', roots: [found] })
  await collect([])
  assert.ok(!(await isHere()).includes(false), 'it is leased')
  lease.close()
  await collect([])
  assert.ok(!(await isHere()).includes(true), 'nobody needs it')
  assert.ok((await blocks.get(two)) !== undefined)
})
