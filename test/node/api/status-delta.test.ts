import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { applyDelta, statusDelta } from '../../../node/api/status-delta.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'

const name = fc.constantFrom('a', 'b', 'c', 'd')
const count = fc.integer({ min: 0, max: 3 })

const replica = fc.record({
  site: name,
  sequence: fc.option(count),
  state: fc.constantFrom('complete' as const, 'behind' as const),
  missingBytes: fc.option(count),
  checkouts: fc.array(fc.record({ path: name, sequence: fc.option(count) }), { maxLength: 2 }),
})
const tree = fc.record({
  tree: name,
  epoch: fc.option(count),
  sequence: fc.option(count),
  snapshot: fc.option(name),
  publisher: fc.option(name),
  files: fc.option(count),
  bytes: fc.option(count),
  sites: fc.uniqueArray(replica, { selector: ({ site }) => site }),
})
const site = fc.record({
  site: name,
  region: name,
  peer: name,
  state: fc.constantFrom('up' as const, 'silent' as const),
  ageSeconds: fc.option(count),
  addresses: fc.array(name, { maxLength: 2 }),
  version: fc.option(name),
  labels: fc.array(name, { maxLength: 2 }),
  drained: fc.boolean(),
  note: name,
})
const traffic = { bytesSent: count, bytesReceived: count, plainBytesSent: count, plainBytesReceived: count }
const classes = fc.record({ site: fc.record(traffic), region: fc.record(traffic), wan: fc.record(traffic) })
const status: fc.Arbitrary<StatusDocument> = fc.record({
  mesh: fc.constant({ name: 'm', id: 'i' }),
  self: fc.constant({ peer: 'a', site: 'a', region: 'a', version: '1' }),
  sites: fc.uniqueArray(site, { selector: ({ peer }) => peer }),
  trees: fc.uniqueArray(tree, { selector: (each) => each.tree }),
  traffic: fc.record({
    peers: fc.constant([]),
    classes,
    blocksSent: count,
    blocksSentMoreThanOnce: count,
    bytesSentBeforeComplete: count,
  }),
  alarms: fc.constant([]),
})

/** Without what a delta leaves alone, in an order of its own. */
function plain(made: StatusDocument) {
  const document = JSON.parse(JSON.stringify(made)) as StatusDocument
  const byText = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
  return {
    ...document,
    sites: document.sites.map((each) => ({ ...each, ageSeconds: 0 })).toSorted(byText),
    trees: document.trees.map((each) => ({ ...each, sites: each.sites.toSorted(byText) })).toSorted(byText),
  }
}

test('a delta leads from the one document to the other, and from that one to itself', () => {
  fc.assert(
    fc.property(status, status, (before, after) => {
      const delta = statusDelta(before, after)
      if (delta === undefined) {
        assert.deepEqual(plain(before), plain(after))
        return
      }
      const sent = JSON.parse(JSON.stringify(delta)) as typeof delta
      assert.deepEqual(plain(applyDelta(before, sent)), plain(after))
      assert.deepEqual(plain(applyDelta(after, sent)), plain(after))
    }),
  )
})

test('nothing is told of ages alone, and of one replica only that one', () => {
  fc.assert(
    fc.property(status, (document) => {
      const older = { ...document, sites: document.sites.map((each) => ({ ...each, ageSeconds: 9 })) }
      assert.equal(statusDelta(document, older), undefined)
      const [first] = document.trees
      const [replicaOf] = first?.sites ?? []
      if (first === undefined || replicaOf === undefined) return
      const changed = { ...replicaOf, sequence: 99 }
      const sites = [changed, ...first.sites.slice(1)]
      const delta = statusDelta(document, {
        ...document,
        trees: [{ ...first, sites }, ...document.trees.slice(1)],
      })
      assert.deepEqual(delta, { trees: [{ ...first, sites: [changed] }] })
    }),
  )
})
