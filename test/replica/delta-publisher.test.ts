/** Making deltas beside everything else: what is signed when, and what is left when it is ended in the middle. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { type Cid, cidFromDigest, DAG_CBOR } from '../../src/block/cid.ts'
import { decodeEncodings } from '../../src/dag/encodings.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import type { EncodingsBody } from '../../src/record/kinds/encodings.ts'
import { createDeltaPublisher, type DeltaPublisherOptions } from '../../src/replica/deltas/delta-publisher.ts'
import type { DeltaRequest, DeltaWork, MakeDeltas } from '../../src/replica/deltas/delta-work.ts'
import { olderBases, standingAt } from '../../src/replica/deltas/older-bases.ts'
import { createOwedDeltas } from '../../src/replica/deltas/owed-deltas.ts'
import { createHoldings, type Holdings } from '../../src/replica/holdings/holdings.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { createMesh, publish, TREE } from './mesh.ts'
import { makeSimpleDeltas, noisePlan } from './simple-deltas.ts'
import { createTestLog, createTestLogger, createTestMesh, testKey } from './test-mesh.ts'

const hq = testKey(40)

/** A clock that goes on by `stepMs` each time that it is looked at. */
function ticking(stepMs: number) {
  let nowMs = 0
  return {
    nowMs: () => 1_700_000_000_000,
    monotonicMs: () => (nowMs += stepMs),
    after: () => () => undefined,
  }
}

async function setUp(versions: readonly number[] = [1, 2, 3]) {
  const mesh = createTestMesh()
  const basics = [mesh.genesis, mesh.member(hq, 'hq', 'eu'), ...mesh.tree(TREE, hq)]
  const log = createTestLog(basics.map(({ bytes }) => bytes))
  const logger = createTestLogger()
  const open = () => createLedger({ log, clock: ticking(1), logger }, { mesh: mesh.mesh })
  let ledger = await open()
  const node = createMesh().add('hq', 'east')
  const snapshots: Cid[] = []
  for (const version of versions) snapshots.push((await publish(node, noisePlan(40, 20_000, version))).cid)
  const signHead = async (sequence: number, work?: DeltaWork): Promise<void> => {
    await ledger.issue(
      hq,
      'head',
      (state) => ({
        ...{ tree: TREE, epoch: 1, sequence, snapshot: snapshots[sequence - 1]!, counts: {} },
        previous: state.trees.get(TREE)?.newest?.id ?? null,
      }),
      () => work?.announcement(sequence),
    )
    work?.published(sequence)
  }
  await signHead(1)
  const start = (
    options: DeltaPublisherOptions & {
      blocks?: BlockStore
      holdings?: Holdings
      makeDeltas?: MakeDeltas
      stepMs?: number
      standing?: readonly number[]
    } = {},
  ) => {
    const { blocks = node.store.blocks, makeDeltas = makeSimpleDeltas, stepMs = 200, ...rest } = options
    const { holdings = node.holdings, standing = [], ...more } = rest
    return createDeltaPublisher(
      {
        ...{ ledger, blocks, holdings, nodeKey: hq, logger, makeDeltas },
        clock: ticking(stepMs),
        complete: { has: () => true },
        standing: () => new Set(standing),
        owed: createOwedDeltas(node.store.values('deltas')),
      },
      { minNewBytes: 1000, maxShare: 1, ...more },
    )
  }
  const request = (sequence: number, mode: DeltaRequest['mode'] = 'along'): DeltaRequest => ({
    ...{ tree: TREE, snapshot: snapshots[sequence - 1]!, base: snapshots[sequence - 2]!, mode },
    baseSequence: sequence - 1,
  })
  /** The records of a snapshot's encodings, in the order in which they were signed. */
  const signed = (sequence: number): EncodingsBody[] => {
    const all: EncodingsBody[] = []
    for (const id of ledger.inOrder!(ledger.ids())) {
      const content = ledger.record(cidFromDigest(DAG_CBOR, id))?.content
      if (content?.kind === 'encodings' && content.body.sequence === sequence) all.push(content.body)
    }
    return all
  }
  return {
    ...{ node, snapshots, signHead, start, request, signed, logger },
    current: (sequence: number) =>
      ledger
        .state()
        .trees.get(TREE)
        ?.encodings.get(snapshots[sequence - 1]!.toString())?.[0]?.body,
    async restart() {
      ledger = await open()
    },
  }
}

/** Every delta that a set lists is stored. */
async function countStored(blocks: BlockStore, set: Cid): Promise<number> {
  let count = 0
  const { index } = decodeEncodings(set, (await blocks.get(set))!)
  for await (const ref of listPages(blocks, index)) {
    const page = await readPage(blocks, ref)
    assert.ok(!(await blocks.has(page.blocks.map(({ cid }) => cid))).includes(false))
    count += page.blocks.length
  }
  return count
}

async function countMade(it: Awaited<ReturnType<typeof setUp>>, sequence: number): Promise<number> {
  let count = 0
  const { snapshot: target, base } = it.request(sequence)
  for await (const _ of makeSimpleDeltas({ source: it.node.store.blocks }, { target, base })) count++
  return count
}

test('along: that they are coming, how far they are, and that they are done, with sets that grow', async () => {
  const it = await setUp()
  const work = await it.start().start(it.request(2))
  assert.deepEqual(it.signed(2), [])
  await it.signHead(2, work)
  const report = await work!.done
  const all = it.signed(2)
  assert.ok(all.length >= 4 && all.length <= 8, `${all.length} records`)
  assert.deepEqual(
    all.map(({ version, isComplete }) => [version, isComplete]),
    all.map((_, i) => [i + 1, i + 1 === all.length]),
  )
  assert.equal(all[0]!.set, null)
  const counts: number[] = []
  for (const { set } of all.slice(1)) counts.push(await countStored(it.node.store.blocks, set!))
  assert.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
  )
  assert.equal(counts.at(-1), await countMade(it, 2))
  assert.equal(report?.deltas, counts.at(-1))
  assert.equal(report?.deltaBytes, all.at(-1)!.bytes)
  assert.ok(report.zstdBytes > 5 * report.deltaBytes && report.newBytes >= report.targetBytes)
})

test('before: nothing is signed until all are made and the head is out; after: one record when they are', async () => {
  for (const mode of ['before', 'after'] as const) {
    const it = await setUp()
    const work = (await it.start().start(it.request(2, mode)))!
    if (mode === 'before') await work.done
    assert.deepEqual(it.signed(2), [])
    await it.signHead(2, work)
    await work.done
    assert.deepEqual(
      it.signed(2).map(({ version, isComplete, set }) => [version, isComplete, set === null]),
      [[1, true, false]],
      mode,
    )
  }
})

test('where little is new, or the base is the snapshot, none are made', async () => {
  const it = await setUp()
  assert.equal(await it.start({ minNewBytes: 10_000_000 }).start(it.request(2)), undefined)
  const { snapshots } = it
  assert.equal(await it.start().start({ ...it.request(2), base: snapshots[1]! }), undefined)
})

test('the share of the tree is kept, and the report says so', async () => {
  const it = await setUp()
  const work = await it.start({ maxShare: 0.001 }).start(it.request(2))
  await it.signHead(2, work)
  const report = await work!.done
  assert.match(report!.endedBy!, /more than .* % of the tree/)
  assert.ok(report!.deltaBytes > 0 && report!.deltaBytes <= 0.001 * 800_000 * 1.01)
  assert.equal(it.current(2)?.isComplete, true)
})

test('a newer snapshot ends the making for the one before, which keeps what it has', {
  timeout: 30_000,
}, async () => {
  const it = await setUp()
  const gate = Promise.withResolvers<void>()
  const slow: MakeDeltas = async function* (components, options) {
    let count = 0
    for await (const delta of makeSimpleDeltas(components, options)) {
      if (count++ === 5 && options.target.equals(it.snapshots[1]!)) await gate.promise
      yield delta
    }
  }
  const publisher = it.start({ makeDeltas: slow })
  const first = (await publisher.start(it.request(2)))!
  await it.signHead(2, first)
  const second = (await publisher.start(it.request(3)))!
  await it.signHead(3, second)
  gate.resolve()
  assert.match((await first.done)!.endedBy!, /newer snapshot/)
  assert.equal((await second.done)!.endedBy, undefined)
  assert.equal(it.current(2)?.isComplete, true)
  assert.ok((await countStored(it.node.store.blocks, it.current(2)!.set!)) >= 1)
  assert.equal(await countStored(it.node.store.blocks, it.current(3)!.set!), await countMade(it, 3))
})

test('what fails ends the making; sites are told not to wait, and the head stands', async () => {
  const it = await setUp()
  const failing: MakeDeltas = async function* (components, options) {
    let count = 0
    for await (const delta of makeSimpleDeltas(components, options)) {
      if (count++ === 3) throw new Error('a worker ended')
      yield delta
    }
  }
  const work = (await it.start({ makeDeltas: failing }).start(it.request(2)))!
  await it.signHead(2, work)
  assert.match((await work.done)!.endedBy!, /a worker ended/)
  assert.equal(it.current(2)?.isComplete, true)
  assert.equal(await countStored(it.node.store.blocks, it.current(2)!.set!), 3)
})

test('killed at any write or signature, the next start goes on from the last record, and ends with all', {
  timeout: 60_000,
}, async () => {
  for (let at = 1, isOver = false; !isOver; at++) {
    const it = await setUp()
    const dead = new AbortController()
    let writes = 0
    const { blocks } = it.node.store
    const mortal: BlockStore = {
      ...blocks,
      async put(more, options) {
        if (++writes === at) dead.abort()
        // A dead process writes nothing more, and hears nothing.
        if (dead.signal.aborted) await new Promise(() => undefined)
        await blocks.put(more, options)
      },
    }
    const work = (await it.start({ blocks: mortal, stepMs: 500 }).start(it.request(2)))!
    await it.signHead(2, work)
    const killed = new Promise((resolve) => dead.signal.addEventListener('abort', () => resolve(true)))
    isOver = !(await Promise.race([work.done.then(() => false), killed]))
    const last = it.current(2)!
    if (last.set !== null) await countStored(blocks, last.set)
    await it.restart()
    const { store } = it.node
    const holdings = createHoldings({ blocks, values: (space) => store.values(space), clock: systemClock })
    const again = it.start({ stepMs: 500, holdings })
    await again.resume()
    assert.equal(it.current(2)?.isComplete, true)
    assert.ok((it.current(2)?.version ?? 0) >= last.version)
    assert.equal(await countStored(blocks, it.current(2)!.set!), await countMade(it, 2))
    await again.stop()
  }
})

test('after: killed before they are told of, the next start makes them, and the older ones too', {
  timeout: 30_000,
}, async () => {
  const it = await setUp()
  await it.signHead(2)
  const { blocks } = it.node.store
  // The first process dies at its first write of a delta: nothing is told.
  const dead: BlockStore = { ...blocks, put: () => new Promise(() => undefined) }
  const work = (await it.start({ blocks: dead, maxBases: 2 }).start(it.request(3, 'after')))!
  await it.signHead(3, work)
  assert.deepEqual(it.signed(3), [])
  await it.restart()
  const { store } = it.node
  const holdings = createHoldings({ blocks, values: (space) => store.values(space), clock: systemClock })
  const again = it.start({ holdings, maxBases: 2 })
  await again.resume()
  await again.idle()
  const bases = it.signed(3).map(({ base }) => it.snapshots.findIndex((each) => each.equals(base)) + 1)
  assert.deepEqual(bases, [2, 1])
  assert.equal(await countStored(blocks, it.current(3)!.set!), await countMade(it, 2))
  // All is done: a third start has nothing left to do.
  await it.restart()
  const third = it.start({ holdings, maxBases: 2 })
  await third.resume()
  await third.idle()
  assert.equal(it.signed(3).length, 2)
})

test('older snapshots get deltas after the one before, for sites that missed some', {
  timeout: 30_000,
}, async () => {
  const it = await setUp()
  await it.signHead(2)
  const publisher = it.start({ maxBases: 2 })
  const work = (await publisher.start(it.request(3)))!
  await it.signHead(3, work)
  await publisher.idle()
  const all = it.signed(3)
  const bases = all.map(({ base }) => it.snapshots.findIndex((each) => each.equals(base)) + 1)
  assert.deepEqual(bases.slice(-2), [2, 1])
  assert.ok(all.at(-1)!.isComplete && all.at(-1)!.version === 1)
  assert.equal(await countStored(it.node.store.blocks, all.at(-1)!.set!), await countMade(it, 2))
})

test('of the older ones those at which sites stand come first', { timeout: 30_000 }, async () => {
  const it = await setUp([1, 2, 3, 4, 5])
  for (const sequence of [2, 3, 4]) await it.signHead(sequence)
  // Of the parent and the snapshot itself there are deltas, or need be none.
  const publisher = it.start({ maxBases: 3, standing: [5, 4, 1] })
  const work = (await publisher.start(it.request(5)))!
  await it.signHead(5, work)
  await publisher.idle()
  const bases = it.signed(5).map(({ base }) => it.snapshots.findIndex((each) => each.equals(base)) + 1)
  assert.deepEqual([...new Set(bases)], [4, 1, 3])
})

test('what sites say tells where they stand in a tree', () => {
  const saying = (tree: string, completeSequence: number | null) => ({
    announcement: { trees: [{ tree, completeSequence }] },
  })
  const heard = new Map([
    ['a', saying(TREE, 3)],
    ['b', saying(TREE, null)],
    ['c', saying('other', 7)],
    ['d', saying(TREE, 1)],
  ])
  const standing = standingAt(heard, TREE)
  assert.deepEqual([...standing], [3, 1])
  assert.deepEqual([...olderBases(6, standing)], [3, 1, 5, 4, 2])
  assert.deepEqual([...olderBases(1, standing)], [])
  assert.deepEqual([...olderBases(3, new Set([9, 0]))], [2, 1])
})
