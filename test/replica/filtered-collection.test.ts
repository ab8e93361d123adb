/** Collection of what is kept under a path filter: all that the view needs stays, and nothing that another filter left. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { type Cid, cidOf, RAW } from '../../src/block/cid.ts'
import { closure } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { findMissing } from '../../src/replica/holdings/index-check.ts'
import type { SnapshotView } from '../../src/replica/holdings/snapshot-views.ts'
import { collect, directoryPlan } from '../dag/trees.ts'
import { createMesh, filesPlan, publish, type TestNode } from './mesh.ts'

async function setUp() {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab', 'west')
  const plan = directoryPlan({
    noarch: filesPlan(20, 2000, 1),
    x86_64: directoryPlan({ debug: filesPlan(10, 2000, 2), main: filesPlan(10, 2000, 3) }),
  })
  const { cid } = await publish(hq, plan)
  const fetch = async (include: string[], exclude: string[] = []): Promise<SnapshotView> => {
    lab.filter = [{ include, exclude }]
    return (await mesh.fetch(lab, cid).done).view!
  }
  const garbage = { cid: cidOf(RAW, utf8('garbage')), bytes: utf8('garbage') }
  await lab.store.blocks.put([garbage])
  return { lab, cid, fetch, garbage }
}

async function countChunks(node: TestNode, view: SnapshotView): Promise<number> {
  const { root } = decodeSnapshot(view.cid, (await node.store.blocks.get(view.cid))!)
  return (await collect(closure(node.store.blocks, root))).filter(({ cid }) => cid.code === RAW).length
}

const run = (node: TestNode, snapshot: Cid, view: SnapshotView, isDryRun = false) =>
  node.store.collect({
    isDryRun,
    choose: () => ({ whole: [], views: [{ snapshot, view: view.cid }], partial: [], dropped: [snapshot] }),
  })

test('what a view needs stays, its own folders too, and the rest goes', async () => {
  const { lab, cid, fetch, garbage } = await setUp()
  const first = await fetch(['x86_64'], ['x86_64/debug'])
  assert.equal(await countChunks(lab, first), 10)
  assert.equal(await findMissing(lab.store.blocks, cid, undefined, first.cid), undefined)
  assert.equal((await run(lab, cid, first)).deadBlocks, 1)
  assert.deepEqual(await lab.store.blocks.has([garbage.cid]), [false])
  assert.equal(await countChunks(lab, first), 10)
  assert.equal(await findMissing(lab.store.blocks, cid, undefined, first.cid), undefined)
})

test('of an older filter only what the newer takes is left', async () => {
  const { lab, cid, fetch } = await setUp()
  const wide = await fetch(['x86_64'])
  const narrow = await fetch(['noarch'])
  assert.equal(await findMissing(lab.store.blocks, cid, undefined, wide.cid), undefined)
  const dry = await run(lab, cid, narrow, true)
  const report = await run(lab, cid, narrow)
  assert.equal(dry.deadBlocks, report.deadBlocks)
  // Twenty contents, garbage, the view and the root that it had of its own.
  assert.equal(report.deadBlocks, 23)
  assert.equal(await countChunks(lab, narrow), 20)
  assert.equal(await findMissing(lab.store.blocks, cid, undefined, narrow.cid), undefined)
  assert.notEqual(await findMissing(lab.store.blocks, cid, undefined, wide.cid), undefined)
  await assert.rejects(run(lab, cid, wide), { code: 'corrupt' })
})
