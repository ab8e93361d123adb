/** What is taken down is given to nobody from the moment that its record is known, and what something else needs always is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import { listPages, readPage } from '../../src/dag/read-index.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { MeshState, Takedown } from '../../src/record/mesh-state.ts'
import { createBlockService } from '../../src/replica/serve/block-service.ts'
import { createWithheld } from '../../src/replica/takedown/withheld.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { directoryPlan, filePlan } from '../dag/trees.ts'
import { sampleBlocks } from '../store/sample-blocks.ts'
import { testSnapshot } from '../store/sample-snapshot.ts'
import { createMesh, publish, TREE } from './mesh.ts'

const OTHER = 'builds/other'
const never = new AbortController().signal

function stateWith(snapshots: readonly Cid[]): { state: MeshState; takedown: Takedown } {
  const body = { name: 'x', tree: TREE, snapshots, path: null, through: 1, removed: false }
  const takedown = { body, origin: { record: snapshots[0]! } } as unknown as Takedown
  const state = { takedowns: new Map([['x', takedown]]), trees: new Map() } as unknown as MeshState
  return { state, takedown }
}

/** @returns whether it is settled within a few turns */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  let is = false
  void promise.then(() => {
    is = true
  })
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  return is
}

test('a member that asks by position and a client that asks by CID get nothing of it, and all of what stays', async () => {
  const { store, holdings } = createMesh().add('lab', 'west')
  const node = { store, holdings } as ReturnType<ReturnType<typeof createMesh>['add']>
  const leaky = directoryPlan({ a: filePlan('a'), secret: filePlan('secret') })
  const first = await publish(node, leaky)
  const second = await publish(node, directoryPlan({ a: filePlan('a'), b: filePlan('b') }))
  const { state, takedown } = stateWith([first.cid])
  const clock = new VirtualClock()
  const withheld = createWithheld({ state: () => state, blocks: store.blocks, clock })
  const server = createBlockService({
    blocks: store.blocks,
    blocksOf: (tree) => withheld.from(store.blocks, tree),
    holdings,
    traffic: createTraffic(),
    mayRead: () => true,
  })
  const listed = async ({ cid }: typeof first) => {
    const { index } = decodeSnapshot(cid, (await store.blocks.get(cid))!)
    const found: { page: Cid; offset: number; cid: Cid }[] = []
    for await (const ref of listPages(store.blocks, index))
      for (const [offset, block] of (await readPage(store.blocks, ref)).blocks.entries())
        found.push({ page: ref.cid, offset, cid: block.cid })
    return { index, found }
  }
  const [gone, stays] = [await listed(first), await listed(second)]
  const isKept = new Set(stays.found.map(({ cid }) => cidKey(cid)))
  const leaked = gone.found.filter(({ cid }) => !isKept.has(cidKey(cid)))
  assert.ok(leaked.length > 0 && leaked.length < gone.found.length)

  const byPosition = async (page: Cid, offset: number): Promise<Uint8Array | undefined> => {
    for await (const [block] of server.blocks('peer', { tree: TREE, page, offsets: [offset] }, never))
      return block?.bytes
    return undefined
  }
  const byCid = (cid: Cid) => withheld.from(store.blocks, undefined).get(cid)

  // The record is here and nothing is listed: nobody is given anything of the tree, or by a CID.
  const early = [byPosition(stays.found[0]!.page, 0), byCid(leaked[0]!.cid)]
  assert.equal(await isOver(Promise.race(early)), false)
  clock.advanceTo(clock.monotonicMs() + 5_000)
  assert.deepEqual(await Promise.all(early), [undefined, undefined])
  assert.notEqual(await withheld.from(store.blocks, OTHER).get(stays.found[0]!.cid), undefined)
  const waiting = byPosition(stays.found[0]!.page, 0)

  const asked = { gone: [{ snapshot: first.cid, wasHere: true }], stays: [second.cid] }
  await withheld.list(takedown, asked, never)
  await withheld.spare([{ tree: TREE, snapshot: second.cid }], never)
  assert.notEqual(await waiting, undefined, 'who waited gets what stays')
  for (const { page, offset, cid } of leaked) {
    assert.equal(await byPosition(page, offset), undefined)
    assert.equal(await byCid(cid), undefined)
    assert.deepEqual(await withheld.from(store.blocks, TREE).has([cid]), [false])
    assert.deepEqual(await withheld.from(store.blocks, TREE).getEncoded([cid]), [undefined])
  }
  for (const cid of [first.cid, gone.index]) {
    assert.equal(await server.object('peer', TREE, cid, never), undefined)
    assert.equal(await byCid(cid), undefined)
  }
  for (const { page, offset, cid } of stays.found) {
    assert.notEqual(await byPosition(page, offset), undefined)
    assert.notEqual(await byCid(cid), undefined)
  }
  assert.notEqual(await server.object('peer', TREE, second.cid, never), undefined)

  // Lifted; and done, when its blocks are gone from the store.
  withheld.done(takedown)
  assert.notEqual(await byCid(leaked[0]!.cid), undefined)
})

test('where the lists of what was here are gone nothing of the tree is given until it is done', async () => {
  const blocks = sampleBlocks(20, 300, 1)
  const snapshot = testSnapshot(blocks, 'gone')
  const { state, takedown } = stateWith([snapshot.cid])
  const store = createMemoryStore()
  await store.blocks.put(blocks)
  const clock = new VirtualClock()
  const withheld = createWithheld({ state: () => state, blocks: store.blocks, clock })
  await withheld.list(takedown, { gone: [{ snapshot: snapshot.cid, wasHere: true }], stays: [] }, never)
  await withheld.spare([], never)
  assert.equal(await withheld.from(store.blocks, undefined).get(blocks[0]!.cid), undefined)
  assert.equal(await withheld.from(store.blocks, TREE).get(blocks[0]!.cid), undefined)
  assert.notEqual(await withheld.from(store.blocks, OTHER).get(blocks[0]!.cid), undefined)
  withheld.done(takedown)
  assert.notEqual(await withheld.from(store.blocks, undefined).get(blocks[0]!.cid), undefined)
  // What was never here hides nothing.
  const never2 = createWithheld({ state: () => state, blocks: store.blocks, clock })
  await never2.list(takedown, { gone: [{ snapshot: snapshot.cid, wasHere: false }], stays: [] }, never)
  await never2.spare([], never)
  assert.notEqual(await never2.from(store.blocks, undefined).get(blocks[0]!.cid), undefined)
})

test('whatever snapshots share, what only those that go list is withheld, and nothing else is', async () => {
  const range = fc.tuple(fc.nat(150), fc.integer({ min: 1, max: 100 }))
  await fc.assert(
    fc.asyncProperty(
      fc.array(range, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(range, fc.boolean()), { maxLength: 3 }),
      async (gone, stays) => {
        const of = ([from, count]: readonly [number, number], name: string) =>
          testSnapshot(sampleBlocks(count, 100, from), name)
        const goes = gone.map((each, i) => of(each, `gone ${i}`))
        const kept = stays.map(([each, isSameTree], i) => ({ ...of(each, `kept ${i}`), isSameTree }))
        const store = createMemoryStore()
        await store.blocks.put([...goes, ...kept].flatMap(({ all }) => all))
        const { state, takedown } = stateWith(goes.map(({ cid }) => cid))
        const withheld = createWithheld({
          state: () => state,
          blocks: store.blocks,
          clock: new VirtualClock(),
        })
        await withheld.list(
          takedown,
          {
            gone: goes.map(({ cid }) => ({ snapshot: cid, wasHere: true })),
            stays: kept.filter(({ isSameTree }) => isSameTree).map(({ cid }) => cid),
          },
          never,
        )
        await withheld.spare(
          kept.map(({ cid, isSameTree }) => ({ tree: isSameTree ? TREE : OTHER, snapshot: cid })),
          never,
        )
        const isNeeded = new Set(kept.flatMap(({ all }) => all.map(({ cid }) => cidKey(cid))))
        for (const { cid } of [...goes, ...kept].flatMap(({ all }) => all)) {
          const given = await withheld.from(store.blocks, undefined).get(cid)
          assert.equal(given !== undefined, isNeeded.has(cidKey(cid)))
        }
        withheld.close()
      },
    ),
    { numRuns: 60 },
  )
})
