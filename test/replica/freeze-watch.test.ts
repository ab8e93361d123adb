/** A freeze shows by the publisher's own word, and by its silence; by an injected clock. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MeshState } from '../../src/record/mesh-state.ts'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import { createFreezeWatch } from '../../src/replica/status/freeze-watch.ts'
import type { HeardSite } from '../../src/replica/status/status.ts'
import { snapshotOf } from '../record/author.ts'
import { createTestMesh, START_MS, testKey } from './test-mesh.ts'

const hq = testKey(20)
const lab = testKey(21)
const HOUR = 3_600_000
const DAY = 24 * HOUR

/** A mesh whose publisher hq has said one head of two trees. */
function stateWith(): MeshState {
  const mesh = createTestMesh()
  const builder = createMeshStateBuilder(mesh.mesh)
  builder.addAll([mesh.genesis, mesh.member(hq, 'hq', 'eu'), mesh.member(lab, 'lab', 'us')])
  for (const tree of ['x', 'y']) {
    builder.addAll(mesh.tree(tree, hq))
    builder.add(
      mesh.sign(hq, 'head', {
        ...{ tree, epoch: 1, sequence: 1, previous: null, snapshot: snapshotOf(tree), counts: {} },
      }),
    )
  }
  return builder.state
}

function said(
  sequence: number,
  { timeMs, ageMs }: { timeMs: number; ageMs: number },
): Map<string, HeardSite> {
  const tree = {
    ...{ tree: 'x', completeSequence: sequence, completeSnapshot: null, isFetching: false },
    ...{ fetchingSnapshot: null, missingBytes: 0, reason: '', checkouts: [], alsoComplete: [] },
  }
  const announcement = { timeMs, version: '1', addresses: [], trees: [tree], bytesSent: 0, bytesReceived: 0 }
  return new Map([[hq.peer, { announcement, ageMs, isConnected: false }]])
}

function watch(peer = lab.peer, silentMs = DAY) {
  const state = stateWith()
  const freezes = createFreezeWatch({ peer }, { silentMs })
  return (afterMs: number, heard: ReadonlyMap<string, HeardSite>, kept = ['x', 'y']) =>
    freezes
      .alarms(state, { kept, heard, nowMs: START_MS + afterMs, monotonicMs: afterMs })
      .map(({ kind, subject }) => `${kind} ${subject}`)
}

const fresh = (sequence: number, afterMs: number) => said(sequence, { timeMs: START_MS + afterMs, ageMs: 0 })

test('a publisher that is silent for long raises one alarm for all its trees, and none once it speaks', () => {
  const at = watch()
  assert.deepEqual(at(0, new Map()), [], 'time counts from the start')
  assert.deepEqual(at(DAY, new Map()), [])
  assert.deepEqual(at(DAY + 1, new Map()), ['publisher-silent hq'])
  assert.deepEqual(at(DAY + 2, fresh(1, DAY + 2)), [])
  assert.deepEqual(at(3 * DAY, said(1, { timeMs: START_MS + DAY, ageMs: 2 * DAY })), ['publisher-silent hq'])
})

test('an old word that was held back is no newer for coming late', () => {
  const at = watch()
  at(0, new Map())
  assert.deepEqual(at(3 * DAY, said(1, { timeMs: START_MS + DAY, ageMs: 0 })), ['publisher-silent hq'])
})

test('a head that its publisher has and that does not come raises an alarm after a while, whatever it says next', () => {
  const at = watch()
  assert.deepEqual(at(0, fresh(2, 0)), [])
  assert.deepEqual(at(HOUR / 2, fresh(3, HOUR / 2)), [], 'a later one does not start the time anew')
  assert.deepEqual(at(HOUR + 1, fresh(3, HOUR + 1)), ['head-withheld x'])
  assert.deepEqual(at(HOUR + 2, fresh(1, HOUR + 2)), [], 'it has come')
  assert.deepEqual(at(HOUR + 3, fresh(2, HOUR + 3)), [], 'another one has its own time')
})

test('of own trees, of trees that are not kept, and where it is switched off nothing is said', () => {
  assert.deepEqual(watch(hq.peer)(9 * DAY, new Map()), [])
  const none = watch()
  none(0, new Map(), [])
  assert.deepEqual(none(9 * DAY, new Map(), []), [])
  const off = watch(lab.peer, 0)
  off(0, new Map())
  assert.deepEqual(off(9 * DAY, new Map()), [])
})
