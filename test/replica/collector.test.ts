/** The collector on a store of its own: what it drops, in which order, and when it runs by itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'
import type { Wish } from '../../src/replica/copies/challenge-book.ts'
import type { CopyView } from '../../src/replica/copies/verified-copies.ts'
import { loadCompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import type { Ledger } from '../../src/replica/records/ledger.ts'
import { createCollector } from '../../src/replica/retain/collector.ts'
import { createScrubber } from '../../src/replica/retain/scrubber.ts'
import type { HeardSite } from '../../src/replica/status/status.ts'
import type { ScrubOptions } from '../../src/store/collect/scrub.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { sampleBlocks } from '../store/sample-blocks.ts'
import { type TestSnapshot, testSnapshot } from '../store/sample-snapshot.ts'
import { createTestLogger } from './test-mesh.ts'

const SELF = { peer: 'me', site: 'hq', region: 'eu' }
const SNAPSHOTS = [1, 2, 3, 4].map((n) => testSnapshot(sampleBlocks(40, 300, n * 20), `build ${n}`))

/** Lets the clock run, and everything that follows from it. */
async function pass(clock: VirtualClock, ms: number): Promise<void> {
  const untilMs = clock.monotonicMs() + ms
  for (;;) {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    const nextMs = clock.nextMs()
    if (nextMs === undefined || nextMs > untilMs) break
    clock.advanceTo(nextMs)
  }
  clock.advanceTo(untilMs)
}

interface Others {
  readonly pins: MeshState['pins']
  readonly members: MeshState['members']
  readonly heard: Map<string, HeardSite>
  readonly own: CopyView['own']
  readonly proved: Wish[]
}

async function setUp({
  keepSnapshots = 2,
  everyMs = 3_600_000,
  others,
}: {
  keepSnapshots?: number
  everyMs?: number
  others?: Others
} = {}) {
  const clock = new VirtualClock()
  const store = createMemoryStore()
  const holdings = createHoldings({ blocks: store.blocks, values: store.values, clock })
  const complete = await loadCompleteSnapshots({ values: store.values, holdings })
  const history: { sequence: number; snapshot: Cid; publisher: string }[] = []
  const state = (): MeshState => {
    const tree = {
      name: 't',
      body: { readers: 'members' },
      history,
      newest: history.at(-1),
      tags: new Map(),
      encodings: new Map(),
      fork: undefined,
    }
    return {
      trees: new Map([['t', tree]]),
      pins: others?.pins ?? new Map(),
      members: others?.members ?? new Map(),
      sites: new Map(),
      takedowns: new Map(),
    } as unknown as MeshState
  }
  const events: string[] = []
  const collector = createCollector(
    {
      ledger: { state } as unknown as Pick<Ledger, 'state'>,
      store,
      complete,
      self: SELF,
      clock,
      logger: createTestLogger(),
      ...(others === undefined
        ? {}
        : {
            copies: {
              view: () => ({ state: state(), self: SELF.peer, nowMs: clock.nowMs(), ...others }),
              prove: async (wishes) => void others.proved.push(...wishes),
            },
          }),
      onHole: () => events.push('hole'),
      onDropped: () => events.push('dropped'),
    },
    { keepSnapshots, graceMs: 1000, everyMs },
  )
  async function publish({ cid, all }: TestSnapshot): Promise<void> {
    await store.blocks.put(all)
    await complete.adopt('t', cid)
    history.push({ sequence: history.length + 1, snapshot: cid, publisher: 'me' })
  }
  return { clock, store, complete, holdings, collector, history, publish, events }
}

test('what is dropped is no longer complete, also after a restart, and its pages are not served', async () => {
  const { store, complete, holdings, collector, publish, events } = await setUp()
  for (const snapshot of SNAPSHOTS) await publish(snapshot)
  const [first, , , last] = SNAPSHOTS as [TestSnapshot, TestSnapshot, TestSnapshot, TestSnapshot]
  const done = await collector.run()
  assert.deepEqual(
    done.dropped.map(({ sequence }) => sequence),
    [2, 1],
  )
  assert.deepEqual(events, ['dropped'])
  assert.equal(complete.has('t', first.cid), false)
  assert.equal(await holdings.isComplete('t', first.cid), false)
  assert.equal(await holdings.isAllowed('t', first.cid), false)
  assert.equal(await holdings.isAllowed('t', last.cid), true)
  const again = await loadCompleteSnapshots({ values: store.values, holdings })
  assert.equal(again.list().length, 2)
  for (const { all } of SNAPSHOTS.slice(2)) {
    assert.ok((await store.blocks.has(all.map(({ cid }) => cid))).every(Boolean))
  }
  assert.equal(await store.blocks.get(first.own[0]!.cid), undefined)
  assert.equal(collector.status().runs, 1)
})

test('what the pins of another site want goes when that site has said that it holds it and shown it, not before', async () => {
  const clockMs = new VirtualClock().nowMs()
  const pin = { tree: 't', sites: { site: 'archive' }, keep: { last: 3 }, removed: false }
  const archive = { peer: 'archive', site: 'archive', region: 'x', isActive: true, expiresMs: null }
  const heard = new Map<string, HeardSite>()
  const proved: Wish[] = []
  const { collector, complete, publish } = await setUp({
    others: {
      pins: new Map([['t@archive', { body: pin }]]) as unknown as MeshState['pins'],
      members: new Map([['archive', archive]]) as unknown as MeshState['members'],
      heard,
      proved,
      own: (_tree, peer) =>
        heard.size > 0 && proved.some((wish) => wish.peer === peer)
          ? [{ sequence: 2, timeMs: clockMs, isShown: isHonest }]
          : [],
    },
  })
  let isHonest = false
  for (const snapshot of SNAPSHOTS) await publish(snapshot)
  const first = await collector.run()
  assert.deepEqual(
    first.dropped.map(({ sequence }) => sequence),
    [1],
  )
  assert.deepEqual(first.kept.find(({ sequence }) => sequence === 2)?.reasons, [
    'a pin elsewhere wants it, and others have not said that they hold it',
  ])
  assert.ok(complete.has('t', SNAPSHOTS[1]!.cid))
  const said = { tree: 't', completeSequence: 4, completeSnapshot: null, alsoComplete: [3, 2] }
  heard.set('archive', {
    announcement: { timeMs: clockMs, trees: [said] },
    ageMs: 0,
  } as unknown as HeardSite)
  assert.deepEqual(proved, [])
  const unshown = await collector.run()
  assert.deepEqual(proved, [{ tree: 't', snapshot: SNAPSHOTS[1]!.cid, peer: 'archive' }])
  assert.deepEqual(unshown.dropped, [])
  assert.match(unshown.kept.at(-1)!.reasons[0]!, /have not shown it yet/)
  isHonest = true
  assert.deepEqual(
    (await collector.run()).dropped.map(({ sequence }) => sequence),
    [2],
  )
})

test('a dry run drops nothing', async () => {
  const { complete, collector, publish, store } = await setUp()
  for (const snapshot of SNAPSHOTS) await publish(snapshot)
  const blocks = store.stats().blocks
  const planned = await collector.run({ isDryRun: true })
  assert.equal(planned.dropped.length, 2)
  assert.ok(planned.deadBlocks > 0)
  assert.equal(complete.list().length, 4)
  assert.equal(store.stats().blocks, blocks)
})

test('a hole in a complete snapshot stops the run and is reported', async () => {
  const { complete, collector, history, store, publish, events } = await setUp()
  await publish(SNAPSHOTS[0]!)
  complete.note('t', SNAPSHOTS[1]!.cid)
  history.push({ sequence: 2, snapshot: SNAPSHOTS[1]!.cid, publisher: 'me' })
  await assert.rejects(collector.run(), { code: 'corrupt' })
  assert.deepEqual(events, ['hole'])
  assert.ok((await store.blocks.has(SNAPSHOTS[0]!.all.map(({ cid }) => cid))).every(Boolean))
})

test('by itself it runs a while after the start, then when there is something to drop, and not too often', async () => {
  const { clock, collector, publish } = await setUp()
  collector.start()
  for (const snapshot of SNAPSHOTS.slice(0, 3)) await publish(snapshot)
  await pass(clock, 4 * 60_000)
  assert.equal(collector.status().runs, 0)
  await pass(clock, 2 * 60_000)
  assert.equal(collector.status().runs, 1)
  await publish(SNAPSHOTS[3]!)
  await pass(clock, 30 * 60_000)
  assert.equal(collector.status().runs, 1)
  await pass(clock, 40 * 60_000)
  assert.equal(collector.status().runs, 2)
  await pass(clock, 5 * 3_600_000)
  assert.equal(collector.status().runs, 2)
  await pass(clock, 20 * 3_600_000)
  assert.equal(collector.status().runs, 3)
  await collector.stop()
})

test('a scrub goes on after a restart where it was, then rests until it is due', async () => {
  const { clock, store } = await setUp()
  const calls: (number | undefined)[] = []
  let failAt: number | undefined = 3
  const scrub = async ({ fromPack = 0, onPack }: ScrubOptions) => {
    calls.push(fromPack)
    for (let packId = Math.max(1, fromPack); packId <= 5; packId++) {
      if (packId === failAt) throw new Error('killed')
      await onPack?.(packId)
    }
    return {
      packs: 5,
      bytes: 0,
      blocks: 0,
      damagedBlocks: 0,
      unreadablePacks: 0,
      backings: 0,
      unreadableBackings: 0,
    }
  }
  const make = () =>
    createScrubber(
      { store: { values: store.values, scrub }, clock, logger: createTestLogger() },
      { bytesPerSecond: 1e6, everyMs: 10 * 24 * 3_600_000 },
    )
  const first = make()
  await first.start()
  await pass(clock, 10 * 60_000)
  await first.stop()
  assert.deepEqual(calls, [0])
  failAt = undefined
  const second = make()
  await second.start()
  await pass(clock, 15 * 60_000)
  assert.deepEqual(calls, [0, 3])
  await pass(clock, 9 * 24 * 3_600_000)
  assert.equal(calls.length, 2)
  await pass(clock, 2 * 24 * 3_600_000)
  assert.deepEqual(calls, [0, 3, 0])
  await second.run()
  assert.deepEqual(calls, [0, 3, 0, 0])
  await second.stop()
})

test('a scrub that was ended among files outside of the store goes on there', async () => {
  const { clock, store } = await setUp()
  const calls: unknown[] = []
  const position = { backingId: 7, fileId: 123 }
  const scrub = async ({ fromPack, fromFile, onPack, onFile }: ScrubOptions) => {
    calls.push(fromFile ?? fromPack)
    if (fromFile === undefined) {
      await onPack?.(5)
      await onFile?.(position)
      throw new Error('killed')
    }
    return {
      packs: 0,
      bytes: 0,
      blocks: 0,
      damagedBlocks: 0,
      unreadablePacks: 0,
      backings: 1,
      unreadableBackings: 0,
    }
  }
  const make = () =>
    createScrubber(
      { store: { values: store.values, scrub }, clock, logger: createTestLogger() },
      { bytesPerSecond: 1e6, everyMs: 10 * 24 * 3_600_000 },
    )
  for (const minutes of [10, 15]) {
    const scrubber = make()
    await scrubber.start()
    await pass(clock, minutes * 60_000)
    await scrubber.stop()
  }
  assert.deepEqual(calls, [undefined, position])
})
