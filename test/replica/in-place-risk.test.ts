import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withInPlaceRisks } from '../../src/replica/status/in-place-risk.ts'
import type { ReplicaStatus, StatusDocument } from '../../src/replica/status/status.ts'
import type { Backing } from '../../src/store/block-backings.ts'

const replica = (site: string, sequence: number | null): ReplicaStatus => ({
  site,
  sequence,
  state: 'unknown',
  missingBytes: null,
  checkouts: [],
})

const NO_TRAFFIC = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }

function statusOf(sites: readonly ReplicaStatus[]): StatusDocument {
  const tree = { epoch: 1, sequence: 7, snapshot: null, publisher: null, files: 1, bytes: 1, sites }
  return {
    mesh: { name: 'm', id: 'm' },
    self: { peer: 'p', site: 'hq', region: 'us', version: '0' },
    sites: [],
    trees: [
      { tree: 'a', ...tree },
      { tree: 'b', ...tree },
    ],
    traffic: {
      peers: [],
      classes: {
        site: NO_TRAFFIC,
        region: NO_TRAFFIC,
        wan: NO_TRAFFIC,
      },
      blocksSent: 0,
      blocksSentMoreThanOnce: 0,
      bytesSentBeforeComplete: 0,
    },
    alarms: [],
  }
}

const backing = (purpose: Backing['purpose'], label: string): Backing => ({
  id: 1,
  purpose,
  label,
  path: Buffer.from('/srv/a'),
})

test('a tree that rests on files in place is at risk until another site has its newest head', () => {
  const inPlace = [backing('in-place', 'a')]
  const risk = (sites: readonly ReplicaStatus[]) =>
    withInPlaceRisks(statusOf(sites), inPlace).trees.map((each) => each.inPlace)
  const rests = { path: '/srv/a', completeElsewhere: 0, isAtRisk: true }
  assert.deepEqual(risk([replica('hq', 7)]), [rests, undefined])
  assert.deepEqual(risk([replica('hq', 7), replica('lab', 6), replica('new', null)]), [rests, undefined])
  assert.deepEqual(risk([replica('hq', 7), replica('lab', 7), replica('ber', 8)]), [
    { path: '/srv/a', completeElsewhere: 2, isAtRisk: false },
    undefined,
  ])
})

test('adopted mirrors and check-outs put no tree at risk', () => {
  const status = statusOf([replica('hq', 7)])
  assert.equal(withInPlaceRisks(status, [backing('adopted', 'a'), backing('check-out', 'a')]), status)
})

test('a tree without a head has nothing to lose', () => {
  const status = statusOf([])
  const trees = status.trees.map((tree) => ({ ...tree, sequence: null }))
  const [tree] = withInPlaceRisks({ ...status, trees }, [backing('in-place', 'a')]).trees
  assert.equal(tree?.inPlace, undefined)
})
