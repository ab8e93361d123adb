import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COARSE, createHistory, FINE } from '../../../node/history/history.ts'
import { merge, readValue, sampleOf } from '../../../node/history/sample.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { ReplicaStatus, StatusDocument } from '../../../src/replica/status/status.ts'
import { createMemoryStore } from '../../../src/store/memory-store.ts'

const SECOND = 1000
const MINUTE = 60_000

interface Facts {
  readonly wanIn?: number
  readonly fromLab?: number
  /** Lag of the replica at lab; none when it is complete. */
  readonly behindSinceMs?: number
}

function statusWith({ wanIn = 0, fromLab = wanIn, behindSinceMs }: Facts): StatusDocument {
  const none = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }
  const site = { region: 'r', addresses: [], version: '1', labels: [], drained: false, note: '' }
  const replica = { sequence: 1, missingBytes: 0, checkouts: [] }
  const lab: ReplicaStatus =
    behindSinceMs === undefined
      ? { ...replica, site: 'lab', state: 'complete' }
      : { ...replica, site: 'lab', state: 'behind', lag: { snapshots: 1, sinceMs: behindSinceMs } }
  return {
    mesh: { name: 'm', id: 'i' },
    self: { peer: 'a', site: 'hq', region: 'r', version: '1' },
    sites: [
      { ...site, site: 'hq', peer: 'a', state: 'self', ageSeconds: 0, freeBytes: 77 },
      { ...site, site: 'lab', peer: 'b', state: 'silent', ageSeconds: 99 },
    ],
    trees: [
      {
        tree: 'x',
        epoch: 1,
        sequence: 2,
        snapshot: 's',
        publisher: 'a',
        files: 1,
        bytes: 1,
        sites: [{ ...replica, site: 'hq', state: 'complete' }, lab],
      },
    ],
    traffic: {
      peers: [
        {
          ...none,
          site: 'lab',
          peer: 'b',
          pathClass: 'wan',
          bytesReceived: fromLab,
          blocksSent: 0,
          blocksReceived: 0,
          bytesSentBeforeComplete: 0,
        },
      ],
      classes: { site: none, region: none, wan: { ...none, bytesReceived: wanIn } },
      blocksSent: 0,
      blocksSentMoreThanOnce: 0,
      bytesSentBeforeComplete: 0,
    },
    alarms: [],
  }
}

test('a status is kept as rates, completeness and lag', () => {
  const [before, now] = [statusWith({ wanIn: 1000 }), statusWith({ wanIn: 21_000, behindSinceMs: 5000 })]
  const sample = sampleOf(before, now, { nowMs: 65_000, elapsedMs: 10_000 })
  assert.deepEqual(sample, {
    up: 1,
    free: 77,
    'in.site': 0,
    'out.site': 0,
    'in.region': 0,
    'out.region': 0,
    'in.wan': 2000,
    'out.wan': 0,
    'from.lab': 2000,
    'complete.x': 0.5,
    'lag.x': 60,
    complete: 0.5,
    lag: 60,
  })
  const quiet = sampleOf(now, statusWith({ wanIn: 21_000 }), { nowMs: 75_000, elapsedMs: 10_000 })
  assert.deepEqual(
    ['from.lab', 'lag.x', 'complete.x', 'complete.y', 'to.lab'].map((name) => readValue(quiet, name)),
    [0, 0, 1, null, 0],
  )
  const both = merge([sample, quiet])
  assert.deepEqual(
    [both['in.wan'], both['from.lab'], both['complete.x'], both['lag.x']],
    [1000, 1000, 0.75, 60],
  )
})

/** Lets what was begun reach the store, which is in memory. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('an hour of 10 seconds and days of 5 minutes are kept, through a kill, in so many slots and no more', async () => {
  const clock = new VirtualClock(0)
  const values = createMemoryStore().values('history')
  let wanIn = 0
  const components = {
    values,
    readStatus: () => statusWith({ wanIn }),
    clock,
    log: { warn: (fields: object) => assert.fail(JSON.stringify(fields)) },
  }
  const startMs = clock.nowMs() - (clock.nowMs() % COARSE.stepMs) + COARSE.stepMs
  const advanceTo = async (wallMs: number): Promise<void> => {
    for (;;) {
      const left = wallMs - clock.nowMs()
      if (left <= 0) return
      wanIn += Math.min(left, FINE.stepMs)
      clock.advanceTo(clock.monotonicMs() + Math.min(left, FINE.stepMs))
      await settle()
    }
  }
  await advanceTo(startMs)
  const first = createHistory(components)
  await first.start()
  await advanceTo(startMs + 7 * MINUTE)
  const fine = await first.read({
    series: ['in.wan', 'nothing'],
    fromMs: startMs,
    toMs: startMs + 30 * SECOND,
    stepMs: FINE.stepMs,
  })
  assert.deepEqual(fine, {
    fromMs: startMs,
    stepMs: 10_000,
    series: { 'in.wan': [1000, 1000, 1000], nothing: [null, null, null] },
  })
  const steps = { series: ['in.wan'], fromMs: startMs, toMs: startMs + 15 * MINUTE, stepMs: COARSE.stepMs }
  const seen = (await first.read(steps)).series['in.wan']
  // The second step is not over, and is shown as far as it is known.
  assert.deepEqual(seen, [1000, 1000, null])

  // Killed in the second step (a stop writes nothing more). The next run comes after the step's end.
  await first.stop()
  await advanceTo(startMs + 12 * MINUTE)
  const second = createHistory(components)
  await second.start()
  assert.deepEqual((await second.read(steps)).series['in.wan'], [1000, 1000, null])
  assert.ok((await second.names()).includes('complete.x'))
  await assert.rejects(second.read({ ...steps, stepMs: 15_000 }), { code: 'invalid' })
  await assert.rejects(second.read({ ...steps, toMs: startMs + 1e12 }), { code: 'invalid' })
  await second.stop()

  // Far beyond both rings, the old is overwritten and shown as nothing.
  const third = createHistory(components)
  await advanceTo(startMs + 20 * MINUTE)
  await third.start()
  await advanceTo(startMs + 100 * MINUTE)
  const old = await third.read({ ...steps, toMs: startMs + 10 * SECOND, stepMs: FINE.stepMs })
  assert.deepEqual(old.series['in.wan'], [null])
  let slots = 0
  for await (const _ of values.entries()) slots++
  assert.ok(slots <= FINE.slots + COARSE.slots && slots > FINE.slots, String(slots))
  const [, , ...later] = (await third.read({ ...steps, toMs: startMs + 100 * MINUTE })).series['in.wan']!
  assert.equal(later.length, 18)
  assert.ok(
    later.slice(3).every((value) => value === 1000),
    String(later),
  )
  await third.stop()
})

test('a slot that cannot be read is shown as nothing', async () => {
  const clock = new VirtualClock(0)
  const values = createMemoryStore().values('history')
  await values.put('f/00000', Buffer.from('{"t":'))
  await values.put('f/00001', Buffer.from('{"t":10000,"v":{"in.wan":"much"}}'))
  const history = createHistory({
    values,
    readStatus: () => statusWith({}),
    clock,
    log: { warn: () => undefined },
  })
  const { series } = await history.read({ series: ['in.wan'], fromMs: 0, toMs: 20_000, stepMs: 10_000 })
  assert.deepEqual(series, { 'in.wan': [null, null] })
  assert.deepEqual(await history.names(), [])
})
