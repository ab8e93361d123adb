import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StreamState, YamuxStream } from '@chainsafe/libp2p-yamux/stream'
import fc from 'fast-check'
import { gatherWindowUpdates, HELD_BYTES } from '../../src/net/window-updates.ts'

const WINDOW = 256 * 1024
const DATA = 0
const UPDATE = 1

const silence = (): void => undefined
const log = Object.assign(silence, { trace: silence, error: silence, enabled: false, newScope: () => log })

/** A stream that takes in messages, and what its other end may send. */
function receiver(rttMs: number, isGathering = true) {
  const updates: { readonly flag: number; readonly length: number }[] = []
  let mayBeSent = WINDOW
  const stream = new YamuxStream({
    ...{ id: '1', streamId: 1, protocol: '', direction: 'inbound', state: StreamState.SYNReceived },
    log,
    getRTT: () => rttMs,
    sendFrame({ type, flag, length }) {
      assert.equal(type, UPDATE)
      updates.push({ flag, length })
      mayBeSent += length
      return true
    },
  })
  if (isGathering) gatherWindowUpdates(stream)
  stream.addEventListener('message', () => undefined)
  return {
    updates,
    mayBeSent: () => mayBeSent,
    take(length: number) {
      mayBeSent -= length
      const header = { type: DATA, flag: 0, streamID: 1, length }
      stream.handleData({ header, data: new Uint8Array(length) } as unknown as Parameters<
        YamuxStream['handleData']
      >[0])
    },
  }
}

test('whatever comes, less than a quarter of a window is held back, and it is said seldom', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 150_000 }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(sizes, (lengths) => {
      // The window does not grow: nothing comes within no time.
      const { updates, mayBeSent, take } = receiver(-1)
      let taken = 0
      for (const length of lengths) {
        take(length)
        taken += length
        assert.ok(mayBeSent() > WINDOW - HELD_BYTES)
        assert.ok(mayBeSent() <= WINDOW)
      }
      assert.ok(updates.length <= 1 + taken / HELD_BYTES)
    }),
  )
})

test('the first message of a stream is acknowledged at once', () => {
  const { updates, take } = receiver(-1)
  take(10)
  take(10)
  // ACK
  assert.deepEqual(updates, [{ flag: 2, length: 10 }])
})

test('the window grows where messages follow each other closely', () => {
  const [gathering, eager] = [receiver(1000), receiver(1000, false)]
  for (let i = 0; i < 2000; i++) for (const { take } of [gathering, eager]) take(10_000)
  assert.equal(gathering.mayBeSent() > 15 * 1024 * 1024, true)
  assert.ok(eager.mayBeSent() > 15 * 1024 * 1024)
  assert.ok(gathering.updates.length < eager.updates.length / 5)
})
