/** What is said of copies: how many of those wanted are verified, and when there have been too few for too long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import type { PinBody } from '../../src/record/kinds/pin.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'
import type { FailedCopy } from '../../src/replica/copies/copy-challenger.ts'
import { createCopyWatch } from '../../src/replica/copies/copy-watch.ts'
import { type CopyView, markOf } from '../../src/replica/copies/verified-copies.ts'
import type { HeardSite, StatusDocument } from '../../src/replica/status/status.ts'

const HOUR_MS = 3_600_000
const SITES = ['archive1', 'archive2', 'hq']

/** `shown`: which sequence each site holds and has shown hq. hq's own has been seen by archive1. */
function setUp({ paths, copies = 3 }: { paths?: PinBody['paths']; copies?: number } = {}) {
  const clock = new VirtualClock()
  const startMs = clock.nowMs()
  const history = [1, 2].map((sequence) => ({
    sequence,
    snapshot: cidOf(DAG_CBOR, utf8(`${sequence}`)),
    timeMs: startMs - 10 * HOUR_MS,
  }))
  const pin = {
    ...{ name: 't@all', tree: 't', sites: { all: true as const }, copies, version: 1, removed: false },
    ...(paths === undefined ? {} : { paths }),
  }
  const holds = new Map<string, { sequence: number; isFiltered?: boolean }>()
  const failed: FailedCopy[] = []
  const publish = (): void => {
    const sequence = history.length + 1
    history.push({ sequence, snapshot: cidOf(DAG_CBOR, utf8(`${sequence}`)), timeMs: clock.nowMs() })
  }
  const view = (): CopyView => ({
    state: {
      trees: new Map([['t', { name: 't', body: {}, history, newest: history.at(-1), tags: new Map() }]]),
      pins: new Map([['t@all', { body: pin }]]),
      sites: new Map(),
      members: new Map(SITES.map((site) => [site, { peer: site, site, region: 'x', isActive: true }])),
      takedowns: new Map(),
    } as unknown as MeshState,
    self: 'hq',
    heard: new Map(
      [...holds].flatMap(([peer, { sequence, isFiltered = false }]) => {
        if (peer === 'hq') return []
        const verified =
          peer === 'archive1' && holds.has('hq')
            ? [{ sequence: holds.get('hq')!.sequence, mark: markOf('hq'), timeMs: clock.nowMs() }]
            : []
        const tree = { tree: 't', completeSequence: sequence, alsoComplete: [], isFiltered, verified }
        const announcement = { timeMs: clock.nowMs(), trees: [tree] }
        return [[peer, { announcement, ageMs: 0 } as unknown as HeardSite]]
      }),
    ),
    own(_tree, peer) {
      const held = holds.get(peer)
      return peer === 'hq' || held === undefined
        ? []
        : [{ sequence: held.sequence, timeMs: clock.nowMs(), isShown: true }]
    },
    nowMs: clock.nowMs(),
  })
  const watch = createCopyWatch({ challenger: { view, failed: () => failed }, clock }, { graceMs: HOUR_MS })
  const document = (): StatusDocument =>
    ({
      alarms: [],
      trees: [
        {
          tree: 't',
          sequence: history.length,
          sites: [{ site: 'hq', sequence: holds.get('hq')?.sequence ?? null }],
        },
      ],
    }) as unknown as StatusDocument
  return {
    clock,
    holds,
    failed,
    publish,
    pin,
    read() {
      const { trees, alarms } = watch.withCopies(document())
      return { copies: trees[0]!.copies, alarms: alarms.map(({ kind, subject }) => `${kind} ${subject}`) }
    },
    ofPin: () => watch.ofPin(pin, document()),
    wait(ms: number) {
      clock.advanceTo(clock.monotonicMs() + ms)
    },
  }
}

test('verified copies of the head are counted, this site’s own when another has seen it, and said with who saw them', () => {
  const mesh = setUp()
  mesh.holds.set('archive2', { sequence: 2 })
  mesh.holds.set('hq', { sequence: 2 })
  assert.deepEqual(
    mesh.read().copies?.sites.map(({ site, by }) => [site, by]),
    [['archive2', 'hq']],
  )
  mesh.holds.set('archive1', { sequence: 2 })
  const { copies } = mesh.read()
  assert.deepEqual(
    copies?.sites.map(({ site, by }) => [site, by]),
    [
      ['archive1', 'hq'],
      ['archive2', 'hq'],
      ['hq', 'archive1'],
    ],
  )
  assert.deepEqual([copies?.wanted, copies?.verified, copies?.sequence], [3, 3, 2])
  assert.deepEqual(mesh.ofPin(), { tree: 't', wanted: 3, verified: 3 })
  // An older one is no copy of the head.
  mesh.holds.set('archive2', { sequence: 1 })
  assert.equal(mesh.read().copies?.verified, 2)
})

test('too few for long raise an alarm, and a new head gives sites the time to fetch it', () => {
  const mesh = setUp()
  for (const site of SITES) mesh.holds.set(site, { sequence: 2 })
  assert.deepEqual(mesh.read().alarms, [])
  mesh.publish()
  assert.equal(mesh.read().copies?.verified, 0)
  mesh.wait(HOUR_MS / 2)
  assert.deepEqual(mesh.read().alarms, [])
  mesh.wait(HOUR_MS)
  // Judged by the new one from now on; a site that was only away for a moment is waited for.
  assert.deepEqual(mesh.read().alarms, [])
  mesh.wait(11 * 60_000)
  assert.deepEqual(mesh.read().alarms, ['too-few-copies t'])
  for (const site of SITES) mesh.holds.set(site, { sequence: 3 })
  assert.deepEqual(mesh.read().alarms, [])
  mesh.holds.delete('archive1')
  assert.deepEqual(mesh.read().alarms, [])
  mesh.wait(11 * 60_000)
  assert.deepEqual(mesh.read().alarms, ['too-few-copies t'])
})

test('a site that keeps a part of the tree is a copy of that part alone', () => {
  const whole = setUp({ copies: 2 })
  whole.holds.set('archive1', { sequence: 2, isFiltered: true })
  assert.equal(whole.read().copies?.verified, 0)
  const part = setUp({ copies: 2, paths: { include: ['x86_64'], exclude: [] } })
  part.holds.set('archive1', { sequence: 2, isFiltered: true })
  assert.equal(part.read().copies?.verified, 1)
})

test('a site that did not show what it says it holds is an alarm once that was no accident', () => {
  const mesh = setUp()
  const failure = { tree: 't', sequence: 2, peer: 'archive1', detail: 'its answer is wrong' }
  mesh.failed.push({ ...failure, outcome: 'not-shown', failures: 1 })
  assert.deepEqual(mesh.read().alarms, [])
  mesh.failed[0] = { ...failure, outcome: 'not-shown', failures: 2 }
  assert.deepEqual(mesh.read().alarms, ['copy-not-shown archive1'])
  mesh.failed[0] = { ...failure, outcome: 'older', failures: 9 }
  assert.deepEqual(mesh.read().alarms, [])
})
