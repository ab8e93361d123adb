/** A takedown at one site: what holds it up, what it finds by itself, and that it is remembered. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import type { CompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { loadCompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createTakedownKeeper } from '../../src/replica/takedown/takedown-keeper.ts'
import { createWithheld } from '../../src/replica/takedown/withheld.ts'
import { directoryPlan, filePlan } from '../dag/trees.ts'
import { clock, createMesh, publish, TREE } from './mesh.ts'
import { createTestLogger, createTestMesh, testKey } from './test-mesh.ts'

const hq = testKey(20)
const clean = directoryPlan({ a: filePlan('a'), b: filePlan('b') })
const leaky = directoryPlan({ a: filePlan('a'), secrets: directoryPlan({ key: filePlan('secret') }) })

async function setUp(t: TestContext) {
  const { store, ...node } = createMesh().add('lab', 'west')
  const first = await publish({ store, ...node }, leaky)
  const second = await publish({ store, ...node }, clean)
  const mesh = createTestMesh()
  const builder = createMeshStateBuilder(mesh.mesh)
  const heads = [first, second].map(({ cid }, at) => ({ cid, sequence: at + 1 }))
  builder.addAll([mesh.genesis, mesh.member(hq, 'hq', 'east'), ...mesh.tree(TREE, hq)])
  const epoch = builder.state.trees.get(TREE)!.epoch!
  assert.ok(epoch)
  for (const { cid, sequence } of heads) {
    builder.add(
      mesh.sign(hq, 'head', {
        ...{ tree: TREE, epoch: 1, sequence, snapshot: cid, counts: {} },
        previous: builder.state.trees.get(TREE)!.newest?.id ?? null,
      }),
    )
  }
  const values = (space: string) => store.values(space)
  const complete = await loadCompleteSnapshots({ values, holdings: node.holdings })
  const listeners = new Set<(change: { effects: { kind: string }[] }) => void>()
  const checkedOut: string[] = []
  let collections = 0
  let retries = 0
  const forgotten = { times: 0, failures: 0 }
  const withheld = createWithheld({ state: () => builder.state, blocks: store.blocks, clock })
  const keeperOf = (of: CompleteSnapshots) => {
    const keeper = createTakedownKeeper({
      withheld,
      ledger: {
        state: () => builder.state,
        subscribe(listener) {
          listeners.add(listener as never)
          return () => listeners.delete(listener as never)
        },
      },
      complete: of,
      blocks: store.blocks,
      values,
      checkedOut: () => checkedOut,
      async collect() {
        collections++
        await store.collect({
          choose: () => ({ whole: of.list().map(({ snapshot }) => snapshot), partial: [] }),
        })
      },
      forgetPulled() {
        if (forgotten.failures-- > 0) throw new Error('the disk says no')
        forgotten.times++
      },
      // Retries at once: what they wait for is of this process.
      clock: {
        ...clock,
        after(_, task) {
          retries++
          return clock.after(1, task)
        },
      },
      logger: createTestLogger(),
      onChanged: () => undefined,
    })
    t.after(() => keeper.stop())
    return keeper
  }
  const takeDown = (body: { snapshots: (typeof first.cid)[]; path: string | null }, more = {}): void => {
    const { effects } = builder.add(
      mesh.sign(mesh.admin, 'takedown', {
        ...{ name: 'x', tree: TREE, reason: 'leaked', through: 1, version: 1, removed: false },
        ...body,
        ...more,
      }),
    )
    for (const listener of listeners) listener({ effects: effects as { kind: string }[] })
  }
  const until = async (isTrue: () => boolean): Promise<void> => {
    while (!isTrue()) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    store,
    complete,
    keeperOf,
    takeDown,
    until,
    checkedOut,
    withheld,
    first,
    second,
    values,
    node,
    runs: () => collections,
    retries: () => retries,
    forgotten,
  }
}

test('what is taken down goes, what others share stays, and a restart knows that it is done', {
  timeout: 20_000,
}, async (t) => {
  const { store, complete, keeperOf, takeDown, until, first, second, values, node } = await setUp(t)
  const keeper = keeperOf(complete)
  await keeper.start()
  takeDown({ snapshots: [first.cid], path: null })
  await until(() => keeper.done().length === 1)
  assert.deepEqual([complete.has(TREE, first.cid), complete.has(TREE, second.cid)], [false, true])
  assert.deepEqual(
    await store.blocks.has([first.cid, first.snapshot.index, second.cid, second.snapshot.index]),
    [...[false, false, true, true]],
  )
  assert.ok(keeper.isGone(TREE, first.cid) && !keeper.isGone(TREE, second.cid))
  const again = keeperOf(await loadCompleteSnapshots({ values, holdings: node.holdings }))
  await again.start()
  assert.deepEqual(again.done(), keeper.done())
})

test('by its path a site finds what nobody named, up to the head of then', { timeout: 20_000 }, async (t) => {
  const { complete, keeperOf, takeDown, until, first, second } = await setUp(t)
  const keeper = keeperOf(complete)
  await keeper.start()
  takeDown({ snapshots: [], path: 'a' })
  await until(() => keeper.done().length === 1)
  assert.ok(keeper.isGone(TREE, first.cid))
  assert.equal(keeper.isGone(TREE, second.cid), false, 'it came after')
  assert.deepEqual([complete.has(TREE, first.cid), complete.has(TREE, second.cid)], [false, true])
  takeDown({ snapshots: [], path: 'a' }, { version: 2, removed: true })
  assert.equal(keeper.isGone(TREE, first.cid), false, 'it was lifted')
  assert.deepEqual(keeper.done(), [])
})

test('it is not done while a reader or a check-out has it, nor when it came back', {
  timeout: 20_000,
}, async (t) => {
  const { complete, keeperOf, takeDown, until, first, checkedOut, store, runs, retries } = await setUp(t)
  const keeper = keeperOf(complete)
  await keeper.start()
  const lease = store.blocks.lease({ purpose: 'read', roots: [first.cid] })
  checkedOut.push(first.cid.toString())
  takeDown({ snapshots: [first.cid], path: null })
  await until(() => !complete.has(TREE, first.cid))
  lease.close()
  const before = retries()
  await until(() => retries() > before + 2)
  assert.deepEqual([keeper.done().length, runs()], [0, 0])
  checkedOut.pop()
  await until(() => keeper.done().length === 1)
  // A fetch that was on its way ended after all.
  complete.note(TREE, first.cid)
  keeper.look()
  await until(() => !complete.has(TREE, first.cid))
})

test('a reader who takes his time does not hold it up, and what was fetched for readers goes before it is done', {
  timeout: 20_000,
}, async (t) => {
  const { complete, keeperOf, takeDown, until, first, second, store, forgotten } = await setUp(t)
  const keeper = keeperOf(complete)
  await keeper.start()
  const read = (snapshot: typeof first.cid) =>
    store.blocks.lease({ purpose: 'answer', mayBeEnded: true, roots: [snapshot] })
  const [, other] = [read(first.cid), read(second.cid)]
  // What lies below single blocks may be of any snapshot.
  store.blocks.lease({ purpose: 'archive', mayBeEnded: true, below: [first.cid] })
  forgotten.failures = 1
  takeDown({ snapshots: [first.cid], path: null })
  await until(() => keeper.done().length === 1)
  assert.ok(forgotten.times > 0 && forgotten.failures < 0)
  assert.deepEqual(await store.blocks.has([first.cid, second.cid]), [false, true])
  assert.equal(store.blocks.leases().length, 1, 'who reads another snapshot goes on')
  other.close()
  assert.deepEqual(store.blocks.leases(), [])
})
