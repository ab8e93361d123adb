/** What a site says of itself is taken only where all readers understand it alike. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { decodeDelta, encodeDelta } from '../../src/replica/status/announcement-delta.ts'
import { decodeAnnouncement, encodeAnnouncement } from '../../src/replica/status/status-announcement.ts'

const tree = {
  ...{ tree: 'builds/a', completeSequence: 1, isFetching: false, fetchingSnapshot: null, missingBytes: 0 },
  ...{
    completeSnapshot: cidOf(DAG_CBOR, Buffer.from('a')).toString(),
    reason: '',
    checkouts: [],
    alsoComplete: [],
  },
}
const rest = { timeMs: 2, version: '1', addresses: [], bytesSent: 1, bytesReceived: 2 }

test('a site that names a tree twice is not understood, in whole or in part', () => {
  const whole = (trees: readonly (typeof tree)[]) => encodeAnnouncement({ ...rest, trees })
  const other = { ...tree, completeSequence: 2 }
  assert.equal(decodeAnnouncement(whole([tree])).trees.length, 1)
  assert.throws(() => decodeAnnouncement(whole([tree, other])), { code: 'corrupt' })
  const part = (trees: readonly (typeof tree)[]) =>
    encodeDelta({ timeMs: 2, baseMs: 1, trees, gone: [], bytesSent: 1, bytesReceived: 2 })
  assert.equal(decodeDelta(part([tree]))?.trees.length, 1)
  assert.throws(() => decodeDelta(part([tree, other])), { code: 'corrupt' })
})
