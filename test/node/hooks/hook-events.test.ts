import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHookEvents } from '../../../node/hooks/hook-events.ts'
import type { ReplicaStatus, StatusDocument } from '../../../src/replica/status/status.ts'

function status(sequence: number, own: Partial<ReplicaStatus>): StatusDocument {
  const replica: ReplicaStatus = {
    site: 'lab',
    sequence: null,
    state: 'fetching',
    missingBytes: 1,
    checkouts: [],
    ...own,
  }
  return {
    mesh: { name: 'm', id: 'b' },
    self: { peer: 'p', site: 'lab', region: 'eu', version: '1' },
    sites: [],
    trees: [
      {
        tree: 't',
        epoch: 1,
        sequence,
        snapshot: `s${sequence}`,
        publisher: 'q',
        files: 1,
        bytes: 1,
        sites: [{ ...replica, site: 'other', state: 'complete' }, replica],
      },
    ],
    traffic: {} as StatusDocument['traffic'],
    alarms: [],
  }
}

const at = (path: string, sequence: number) => ({ path, sequence })

test('complete is told once a head, when its check-outs hold it too', () => {
  const events = createHookEvents(new Map(), 1000)
  const look = (sequence: number, own: Partial<ReplicaStatus>) =>
    events.look(status(sequence, own), 0).map((each) => each.event)
  assert.deepEqual(look(1, {}), [])
  assert.deepEqual(
    look(1, { state: 'complete', checkouts: [at('/a', 1), { path: '/b', sequence: null }] }),
    [],
  )
  const [event] = events.look(status(1, { state: 'complete', checkouts: [at('/a', 1), at('/b', 1)] }), 0)
  assert.deepEqual(event, {
    event: 'complete',
    tree: 't',
    sequence: 1,
    snapshot: 's1',
    site: 'lab',
    checkouts: ['/a', '/b'],
    reason: '',
  })
  assert.deepEqual(look(1, { state: 'complete' }), [])
  assert.deepEqual(look(2, {}), [])
  assert.deepEqual(look(2, { state: 'complete' }), ['complete'])
})

test('what was told before a restart is not told again', () => {
  const events = createHookEvents(new Map([['t', 2]]), 1000)
  assert.deepEqual(events.look(status(2, { state: 'complete' }), 0), [])
  assert.equal(events.look(status(3, { state: 'complete' }), 0).length, 1)
})

test('a failure is told once a head, and so is one that stays behind; each with its reason', () => {
  const events = createHookEvents(new Map(), 1000)
  const look = (sequence: number, own: Partial<ReplicaStatus>, nowMs: number) =>
    events.look(status(sequence, own), nowMs).map(({ event, reason }) => `${event} ${reason}`)
  const failed = { hasFailed: true, reason: 'no space' }
  assert.deepEqual(look(1, failed, 0), ['failed no space'])
  assert.deepEqual(look(1, {}, 10), [])
  assert.deepEqual(look(1, failed, 20), [])
  assert.deepEqual(look(1, failed, 999), [])
  assert.deepEqual(look(1, failed, 1000), ['behind no space'])
  assert.deepEqual(look(1, failed, 5000), [])
  assert.deepEqual(look(2, failed, 5000), ['failed no space'])
  assert.deepEqual(look(2, { state: 'complete' }, 7000), ['complete '])
})

test('what waits here for an admin is told once for each that waits', () => {
  const events = createHookEvents(new Map([['t', 1]]), 1000)
  const held = (snapshot: string, site = 'lab'): StatusDocument => {
    const document = status(1, { state: 'complete' })
    const heldBack = { site, snapshot, previous: 'h1', sequence: 1, files: 1, bytes: 1, filesBefore: 3 }
    const rest = { bytesBefore: null, sinceMs: 1, expiresMs: 2 }
    return {
      ...document,
      trees: document.trees.map((tree) => ({ ...tree, heldBack: { ...heldBack, ...rest } })),
    }
  }
  const look = (document: StatusDocument) =>
    events
      .look(document, 0)
      .map(({ event, sequence, snapshot, reason }) => [event, sequence, snapshot, reason])
  assert.deepEqual(look(held('s2', 'other')), [])
  assert.deepEqual(look(held('s2')), [['held-back', 1, 's2', '2 of 3 files are gone since @1, at lab']])
  assert.deepEqual(look(held('s2')), [])
  assert.equal(look(held('s3')).length, 1)
})
