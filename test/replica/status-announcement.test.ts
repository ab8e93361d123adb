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

test('what a site says in words is one line of text, whatever it is', () => {
  const said = decodeAnnouncement(
    encodeAnnouncement({
      ...rest,
      version: '1.0\n2.0',
      addresses: ['a\r\nb'],
      trees: [
        {
          ...tree,
          reason: 'no space\nhq  complete\u001b[1A',
          checkouts: [{ path: '/srv/\u202ea', sequence: null }],
        },
      ],
      pauses: [{ tree: 'a', by: 'me\u0007', sinceMs: 1 }],
    }),
  )
  assert.equal(said.version, '1.0\\x0a2.0')
  assert.deepEqual(said.addresses, ['a\\x0d\\x0ab'])
  assert.equal(said.trees[0]!.reason, 'no space\\x0ahq  complete\\x1b[1A')
  assert.equal(said.trees[0]!.checkouts[0]!.path, '/srv/\\u{202e}a')
  assert.equal(said.pauses![0]!.by, 'me\\x07')
})
