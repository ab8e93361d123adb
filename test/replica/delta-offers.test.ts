/** What a fetch is offered by the records, and by what others say of themselves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MeshState, SnapshotEncodings } from '../../src/record/mesh-state.ts'
import { createDeltaOffers } from '../../src/replica/fetch/delta-offers.ts'
import type { AnnouncedTree } from '../../src/replica/status/announced-tree.ts'
import type { SiteAnnouncement } from '../../src/replica/status/status-announcement.ts'
import { said, scene, write } from './delta-scene.ts'
import { TREE } from './mesh.ts'

test('a base that is not here is offered with those who say that they hold it, in whichever way', async () => {
  const it = await scene()
  const set = await write(it)
  const encodings = said(it, set) as ReadonlyMap<string, readonly SnapshotEncodings[]>
  const state = { trees: new Map([[TREE, { encodings }]]) } as unknown as MeshState
  const tree: AnnouncedTree = {
    ...{ tree: TREE, completeSequence: 2, completeSnapshot: it.two.toString(), isFetching: false },
    ...{ fetchingSnapshot: null, missingBytes: null, reason: '', checkouts: [], alsoComplete: [] },
  }
  const saying = (trees: readonly AnnouncedTree[]): { announcement: SiteAnnouncement } => ({
    announcement: {
      ...{ timeMs: 0, version: '', addresses: [], bytesSent: 0, bytesReceived: 0 },
      trees,
    },
  })
  const heard = new Map([
    ['at it', saying([{ ...tree, completeSequence: 1, completeSnapshot: it.one.toString() }])],
    ['beside others', saying([{ ...tree, alsoComplete: [1] }])],
    ['in a run', saying([{ ...tree, completeRuns: [[1, 4]] }])],
    ['not any more', saying([{ ...tree, completeRuns: [[2, 4]] }])],
    ['another tree', saying([{ ...tree, tree: 'other', alsoComplete: [1] }])],
    ['nothing', saying([])],
  ])
  const held = new Set<string>()
  const offers = createDeltaOffers(
    {
      ledger: { state: () => state, subscribe: () => () => undefined },
      complete: { holds: (_, snapshot) => held.has(snapshot.toString()) },
      heard: () => heard,
    },
    { tree: TREE, snapshot: it.two, filter: undefined },
  )
  assert.equal(offers.current(), undefined)
  const elsewhere = offers.elsewhere!()
  assert.deepEqual(
    elsewhere.map(({ base, holders }) => [base.toString(), ...holders]),
    [[it.one.toString(), 'at it', 'beside others', 'in a run']],
  )
  held.add(it.one.toString())
  assert.ok(offers.current()!.base.equals(it.one))
})
