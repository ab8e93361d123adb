import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { Semaphore } from '../../src/base/semaphore.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import type { Goal } from '../../src/replica/goals.ts'
import { backoffMs } from '../../src/replica/site-agent/backoff.ts'
import { createTreeWorker } from '../../src/replica/site-agent/tree.ts'
import { createTestLogger } from './test-mesh.ts'

const snapshot = (sequence: number) => cidOf(DAG_CBOR, utf8(`snapshot ${sequence}`))
const goal = (sequence: number, checkouts: string[] = [], versions: [string, number][] = []): Goal => ({
  tree: 't',
  sequence,
  snapshot: snapshot(sequence),
  checkouts,
  versions: new Map(versions),
  refusedCheckouts: [],
  priority: 5,
  isUrgent: false,
})
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

function setUp({ slots = 2, fetchSlots = new Semaphore(slots) } = {}) {
  const clock = new VirtualClock()
  const logger = createTestLogger()
  const done = new Set<string>()
  const disk = new Map<string, string>()
  const fetches: {
    snapshot: string
    resolve: () => void
    reject: (error: Error) => void
    signal: AbortSignal
  }[] = []
  const checkouts: {
    path: string
    snapshot: string
    versions: number | undefined
    resolve: () => void
    reject: (error: Error) => void
  }[] = []
  const worker = createTreeWorker(
    {
      complete: {
        holds: (_, cid) => done.has(cid.toString()),
      },
      startFetch({ snapshot: cid, signal }) {
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        signal.addEventListener('abort', () => reject(signal.reason))
        fetches.push({ snapshot: cid.toString(), resolve, reject, signal })
        const counts = { totalBlocks: 10, heldBlocks: 3, totalBytes: 100, heldBytes: 30, fetchedBytes: 30 }
        return {
          done: promise.then(() => void done.add(cid.toString())),
          progress: () => ({ phase: 'blocks' as const, ...counts }),
          explain: () => undefined,
        }
      },
      checkOut({ snapshot: cid, path, versions }) {
        assert.ok(done.has(cid.toString()), 'a check-out moves only to a complete snapshot')
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        checkouts.push({ path, snapshot: cid.toString(), versions, resolve, reject })
        return promise
      },
      checkedOut: (_, path, versions) => disk.get(versions === undefined ? path : `${path}/latest`),
      fetchSlots,
      urgentSlots: new Semaphore(1),
      checkoutSlots: new Semaphore(1),
      clock,
      random: () => 1,
      logger,
      onChange: () => undefined,
    },
    't',
  )
  return { clock, logger, done, disk, fetches, checkouts, worker }
}

test('the tree of a higher priority is fetched first, and an urgent one waits for none', async () => {
  const fetchSlots = new Semaphore(1)
  const [low, high, urgent] = [setUp({ fetchSlots }), setUp({ fetchSlots }), setUp({ fetchSlots })]
  const release = await fetchSlots.acquire()
  low.worker.setGoal({ ...goal(1), priority: 3 })
  high.worker.setGoal({ ...goal(1), priority: 3 })
  await settled()
  high.worker.setGoal({ ...goal(1), priority: 8 })
  urgent.worker.setGoal({ ...goal(1), isUrgent: true })
  await settled()
  const begun = () => [low, high, urgent].map(({ fetches }) => fetches.length)
  assert.deepEqual(begun(), [0, 0, 1])
  release()
  await settled()
  assert.deepEqual(begun(), [0, 1, 1])
  high.fetches[0]!.resolve()
  await settled()
  assert.deepEqual(begun(), [1, 1, 1])
  for (const { worker } of [low, high, urgent]) await worker.stop()
})

test('a pause ends a fetch and frees its place; what is complete is checked out; it goes on as it was', async () => {
  const fetchSlots = new Semaphore(1)
  const [held, other] = [setUp({ fetchSlots }), setUp({ fetchSlots })]
  const pause = { by: 'ada', sinceMs: 1 }
  held.worker.setGoal(goal(1))
  other.worker.setGoal(goal(1))
  await settled()
  assert.deepEqual([held.fetches.length, other.fetches.length], [1, 0])
  held.worker.setGoal({ ...goal(1), pause })
  await settled()
  assert.equal(held.fetches[0]?.signal.aborted, true)
  assert.equal(other.fetches.length, 1)
  assert.deepEqual([held.worker.status().phase, held.worker.status().failure], ['idle', undefined])
  // A newer head is not fetched either, and a peer that comes changes nothing.
  held.worker.setGoal({ ...goal(2, ['/a']), pause })
  held.worker.nudge()
  held.worker.look()
  await settled()
  assert.equal(held.fetches.length, 1)
  held.done.add(String(snapshot(2)))
  held.worker.setGoal({ ...goal(2, ['/a']), pause })
  await settled()
  assert.deepEqual(
    held.checkouts.map(({ path }) => path),
    ['/a'],
  )
  held.checkouts[0]!.resolve()
  await settled()
  held.worker.setGoal({ ...goal(3), pause })
  held.worker.setGoal(goal(3))
  other.fetches[0]!.resolve()
  await settled()
  assert.equal(held.fetches.at(-1)?.snapshot, String(snapshot(3)))
  // A head that came before the pause, and ended a fetch, does not see the next one through it.
  held.worker.setGoal(goal(4))
  await settled()
  held.worker.setGoal({ ...goal(4), pause })
  await settled()
  assert.equal(held.fetches.at(-1)?.signal.aborted, true)
  assert.equal(held.worker.status().phase, 'idle')
  for (const { worker } of [held, other]) await worker.stop()
})

test('a newer head ends the fetch of the older and is fetched instead', async () => {
  const { worker, fetches } = setUp()
  worker.setGoal(goal(1))
  await settled()
  assert.equal(worker.status().phase, 'fetching')
  assert.equal(worker.status().missingBytes, 70)
  worker.setGoal(goal(2))
  await settled()
  assert.equal(fetches[0]?.signal.aborted, true)
  assert.deepEqual(
    fetches.map((fetch) => fetch.snapshot),
    [snapshot(1), snapshot(2)].map(String),
  )
  fetches[1]!.resolve()
  await settled()
  assert.deepEqual([worker.status().phase, worker.status().missingBytes], ['idle', 0])
  assert.equal(worker.status().failure, undefined)
  await worker.stop()
})

test('published faster than fetched, every second head is completed and checked out', async () => {
  const { worker, fetches, checkouts } = setUp()
  worker.setGoal(goal(1, ['/a']))
  await settled()
  worker.setGoal(goal(2, ['/a']))
  await settled()
  worker.setGoal(goal(3, ['/a']))
  worker.setGoal(goal(4, ['/a']))
  await settled()
  assert.deepEqual(
    fetches.map(({ signal }) => signal.aborted),
    [true, false],
  )
  fetches[1]!.resolve()
  await settled()
  assert.deepEqual([checkouts[0]!.path, checkouts[0]!.snapshot], ['/a', String(snapshot(2))])
  checkouts[0]!.resolve()
  await settled()
  assert.equal(fetches[2]!.snapshot, String(snapshot(4)))
  // Completed and checked out in between: a newer head may end a fetch again.
  worker.setGoal(goal(5, ['/a']))
  await settled()
  assert.equal(fetches[2]!.signal.aborted, true)
  // Whatever happens, a tree that is let go of is not fetched on.
  worker.setGoal(goal(6, ['/a']))
  worker.setGoal(undefined)
  await settled()
  assert.equal(fetches[3]!.signal.aborted, true)
  await worker.stop()
})

test('a head that moves during a check-out lets it finish, then both follow', async () => {
  const { worker, fetches, checkouts } = setUp()
  worker.setGoal(goal(1, ['/a', '/b']))
  await settled()
  fetches[0]!.resolve()
  await settled()
  worker.setGoal(goal(2, ['/a', '/b']))
  await settled()
  assert.equal(fetches.length, 1)
  checkouts[0]!.resolve()
  await settled()
  assert.equal(fetches.length, 2)
  fetches[1]!.resolve()
  for (let i = 1; i < 3; i++) {
    await settled()
    checkouts[i]!.resolve()
  }
  await settled()
  assert.deepEqual(
    checkouts.map(({ path, snapshot: cid }) => [path, cid]),
    [
      ['/a', String(snapshot(1))],
      ['/a', String(snapshot(2))],
      ['/b', String(snapshot(2))],
    ],
  )
  assert.equal(worker.status().phase, 'idle')
  await worker.stop()
})

test('a place that becomes one of versions is made anew, and one of which fewer stay is not', async () => {
  const { worker, fetches, checkouts, disk } = setUp()
  worker.setGoal(goal(1, ['/a']))
  await settled()
  fetches[0]!.resolve()
  await settled()
  disk.set('/a', String(snapshot(1)))
  checkouts[0]!.resolve()
  await settled()
  worker.setGoal(goal(1, ['/a'], [['/a', 3]]))
  await settled()
  assert.deepEqual(
    checkouts.map(({ path, versions }) => [path, versions]),
    [
      ['/a', undefined],
      ['/a', 3],
    ],
  )
  disk.set('/a/latest', String(snapshot(1)))
  checkouts[1]!.resolve()
  await settled()
  worker.setGoal(goal(1, ['/a'], [['/a', 2]]))
  await settled()
  assert.deepEqual([checkouts.length, worker.status().phase], [2, 'idle'])
  await worker.stop()
})

test('a failure is shown and tried again after a growing pause, at once when a peer comes', async () => {
  const { worker, fetches, clock, logger } = setUp()
  worker.setGoal(goal(1))
  await settled()
  fetches[0]!.reject(new MirrorError('no-space', 'the disk is full'))
  await settled()
  assert.equal(worker.status().phase, 'pausing')
  assert.deepEqual(worker.status().failure, { code: 'no-space', message: 'the disk is full', failures: 1 })
  assert.ok(logger.events.some(({ event }) => event === 'replica.failed'))
  clock.advanceTo(clock.nowMs() + 999)
  await settled()
  assert.equal(fetches.length, 1)
  clock.advanceTo(clock.nowMs() + 1)
  await settled()
  assert.equal(fetches.length, 2)
  fetches[1]!.reject(new MirrorError('io', 'again'))
  await settled()
  assert.equal(worker.status().failure?.failures, 2)
  worker.nudge()
  await settled()
  assert.equal(fetches.length, 3)
  fetches[2]!.resolve()
  await settled()
  assert.equal(worker.status().failure, undefined)
  await worker.stop()
})

test('a fetch that gets nothing gives its place to another tree and says why', async () => {
  const { worker, fetches, clock } = setUp()
  worker.setGoal(goal(1))
  await settled()
  clock.advanceTo(clock.nowMs() + 60_000)
  await settled()
  assert.equal(fetches[0]?.signal.aborted, true)
  assert.match(worker.status().failure?.message ?? '', /nothing arrived/)
  await worker.stop()
})

test('one check-out that cannot be made keeps no other from moving', async () => {
  const { worker, done, checkouts } = setUp()
  done.add(snapshot(1).toString())
  worker.setGoal(goal(1, ['/taken', '/free']))
  await settled()
  checkouts[0]!.reject(new MirrorError('conflict', '/taken is not ours'))
  await settled()
  checkouts[1]!.resolve()
  await settled()
  assert.equal(worker.status().checkouts.get('/free'), snapshot(1).toString())
  assert.equal(worker.status().failure?.code, 'conflict')
  await worker.stop()
})

test('a failure of a check-out that is no longer asked for is forgotten', async () => {
  const { worker, fetches, checkouts } = setUp()
  worker.setGoal(goal(1, ['/a']))
  await settled()
  fetches[0]!.resolve()
  await settled()
  checkouts[0]!.reject(new MirrorError('conflict', '/a is not ours'))
  await settled()
  assert.equal(worker.status().failure?.message, '/a is not ours')
  worker.setGoal(goal(1))
  await settled()
  assert.deepEqual([worker.status().phase, worker.status().failure], ['idle', undefined])
  await worker.stop()
})

test('a place that was given to another tree while a check-out waited is left alone', async () => {
  const { worker, done, checkouts } = setUp()
  done.add(snapshot(1).toString())
  worker.setGoal(goal(1, ['/a', '/b']))
  await settled()
  worker.setGoal(goal(1, ['/a']))
  checkouts[0]!.resolve()
  await settled()
  assert.deepEqual(
    checkouts.map(({ path }) => path),
    ['/a'],
  )
  assert.deepEqual([...worker.status().checkouts.keys()], ['/a'])
  assert.equal(worker.status().phase, 'idle')
  await worker.stop()
})

test('a tree that lost a block after it was complete is fetched again', async () => {
  const { worker, done, fetches } = setUp()
  done.add(snapshot(1).toString())
  worker.setGoal(goal(1))
  await settled()
  assert.equal(fetches.length, 0)
  done.clear()
  worker.setGoal(goal(1))
  await settled()
  assert.equal(fetches.length, 1)
  fetches[0]!.resolve()
  await settled()
  assert.equal(worker.status().phase, 'idle')
  await worker.stop()
})

test('a check-out that somebody removed or replaced by hand is not shown, and made again', async () => {
  const { worker, done, disk, checkouts } = setUp()
  done.add(snapshot(1).toString())
  disk.set('/a', snapshot(1).toString())
  worker.setGoal(goal(1, ['/a']))
  await settled()
  worker.look()
  await settled()
  assert.equal(checkouts.length, 0)
  disk.delete('/a')
  worker.look()
  assert.equal(worker.status().checkouts.get('/a'), undefined)
  await settled()
  assert.deepEqual(checkouts[0]?.path, '/a')
  worker.look()
  checkouts[0]!.resolve()
  await settled()
  assert.equal(worker.status().checkouts.get('/a'), snapshot(1).toString())
  await worker.stop()
})

test('after a restart what lies there already is not written again', async () => {
  const { worker, done, disk, checkouts } = setUp()
  done.add(snapshot(1).toString())
  disk.set('/a', snapshot(1).toString())
  worker.setGoal(goal(1, ['/a']))
  await settled()
  assert.equal(checkouts.length, 0)
  assert.equal(worker.status().phase, 'idle')
  await worker.stop()
})

test('letting go of a tree, and stopping, end what runs', async () => {
  const { worker, fetches } = setUp()
  worker.setGoal(goal(1))
  await settled()
  worker.setGoal(undefined)
  await settled()
  assert.equal(fetches[0]?.signal.aborted, true)
  assert.equal(worker.status().phase, 'idle')
  worker.setGoal(goal(2))
  await settled()
  await worker.stop()
  assert.equal(fetches[1]?.signal.aborted, true)
})

test('pauses double to their bound, and jitter takes at most half', () => {
  const options = { firstMs: 1000, maxMs: 60_000 }
  assert.deepEqual(
    [1, 2, 3, 7, 5000].map((failures) => backoffMs(failures, () => 1, options)),
    [1000, 2000, 4000, 60_000, 60_000],
  )
  assert.equal(
    backoffMs(3, () => 0, options),
    2000,
  )
})
