import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StreamState, YamuxStream } from '@chainsafe/libp2p-yamux/stream'
import { keepPaused } from '../../src/net/keep-paused.ts'

const WINDOW = 256 * 1024
const silence = (): void => undefined
const log = Object.assign(silence, { trace: silence, error: silence, enabled: false, newScope: () => log })

test('a stream that is paused again by what had waited lets nothing more come', () => {
  let mayBeSent = WINDOW
  const stream = new YamuxStream({
    ...{ id: '1', streamId: 1, protocol: '', direction: 'inbound', state: StreamState.Established },
    log,
    getRTT: () => -1,
    sendFrame({ length }) {
      mayBeSent += length
      return true
    },
  })
  keepPaused(stream)
  // As a listener does that holds too much already.
  stream.addEventListener('message', () => stream.pause())
  stream.pause()
  const header = { type: 0, flag: 0, streamID: 1, length: WINDOW }
  const frame = { header, data: new Uint8Array(WINDOW) }
  mayBeSent = 0
  stream.handleData(frame as unknown as Parameters<YamuxStream['handleData']>[0])
  stream.resume()
  assert.equal(stream.readStatus, 'paused')
  assert.equal(mayBeSent, 0)
  // Once it goes on with nothing left to hand over the window opens.
  stream.resume()
  assert.equal(stream.readStatus, 'readable')
  assert.equal(mayBeSent, WINDOW)
})
