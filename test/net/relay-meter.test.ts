import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Stream } from '@libp2p/interface'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import {
  RELAY_HIGH_BYTES,
  RELAY_MAX_WINDOW_BYTES,
  RELAY_POOL_BYTES,
  WRITE_STALL_TIMEOUT_MS,
  WRITE_UNIT_BYTES,
} from '../../src/net/limits.ts'
import { createRelayMeters, spliceMeters } from '../../src/net/relay-meter.ts'

/** A stream as libp2p's are seen from outside: what it was told, in order. */
class Pipe extends EventTarget {
  readonly told: string[] = []
  readBufferLength = 0
  writeBufferLength = 0
  recvWindow = WRITE_UNIT_BYTES
  maxStreamWindowSize = 16 * 1024 * 1024
  readStatus: Stream['readStatus'] = 'readable'

  send(): boolean {
    return true
  }

  pause(): void {
    this.checkOpen()
    this.readStatus = 'paused'
    this.told.push('pause')
  }

  resume(): void {
    this.checkOpen()
    this.readStatus = 'readable'
    this.told.push('resume')
  }

  abort(): void {
    this.told.push('abort')
    this.end()
  }

  /** As libp2p's: what waits to be sent is thrown away, which is told of before the end is. */
  end(): void {
    this.writeBufferLength = 0
    this.readStatus = 'closed'
    this.dispatchEvent(new Event('idle'))
    this.dispatchEvent(new Event('close'))
  }

  private checkOpen(): void {
    if (this.readStatus === 'closed' || this.readStatus === 'closing') throw new Error('the stream is closed')
  }

  receive(sizeBytes: number): void {
    this.dispatchEvent(Object.assign(new Event('message'), { data: { byteLength: sizeBytes } }))
  }

  /** yamux's window doubles while what comes is read quickly. */
  grow(): void {
    this.recvWindow = Math.min(2 * this.recvWindow, this.maxStreamWindowSize)
  }
}

const UNIT = RELAY_HIGH_BYTES / 4

function relayed() {
  const clock = new VirtualClock()
  const meters = createRelayMeters({ clock })
  let sent = 0
  const splice = () => {
    const [fast, slow] = [new Pipe(), new Pipe()]
    const [one, other] = [fast, slow].map((pipe) =>
      meters.meter(pipe as unknown as Stream, (bytes) => {
        sent += bytes
      }),
    )
    // What was said before they were joined does not count.
    fast.receive(2 * RELAY_HIGH_BYTES)
    spliceMeters(one!, other!)
    return { fast, slow, take: () => (slow as unknown as Stream).send(new Uint8Array(UNIT)) }
  }
  return { clock, meters, splice, sent: () => sent }
}

test('a stream that brings more than the other takes is paused until that has caught up', () => {
  const { meters, splice, sent } = relayed()
  const { fast, slow, take } = splice()
  for (let i = 0; i < 4; i++) fast.receive(UNIT)
  assert.deepEqual(fast.told, [])
  fast.receive(UNIT)
  fast.receive(UNIT)
  assert.deepEqual(fast.told, ['pause'])
  assert.equal(meters.heldBytes(), 6 * UNIT)
  for (let i = 0; i < 5; i++) take()
  assert.deepEqual(fast.told, ['pause'])
  // Handed on, and waiting for the other's window, is not gone.
  slow.writeBufferLength = 2 * UNIT
  take()
  assert.deepEqual(fast.told, ['pause'])
  assert.equal(meters.heldBytes(), 2 * UNIT)
  slow.writeBufferLength = 0
  slow.dispatchEvent(new Event('idle'))
  assert.deepEqual(fast.told, ['pause', 'resume'])
  assert.deepEqual(slow.told, [])
  assert.equal(sent(), 6 * UNIT)
})

test('both ends of what is relayed may go in any order while one is paused', () => {
  for (const isFastFirst of [true, false]) {
    const { meters, splice } = relayed()
    const { fast, slow, take } = splice()
    for (let i = 0; i < 5; i++) fast.receive(UNIT)
    slow.writeBufferLength = 5 * UNIT
    for (let i = 0; i < 5; i++) take()
    assert.deepEqual(fast.told, ['pause'])
    for (const pipe of isFastFirst ? [fast, slow] : [slow, fast]) pipe.end()
    assert.equal(meters.heldBytes(), 0)
  }
})

test('windows grow to their bound, out of one pool, and what a stream had goes back when it ends', () => {
  const { splice } = relayed()
  const grown = (pipe: Pipe): number => {
    for (let i = 0; i < 10; i++) {
      pipe.grow()
      pipe.receive(1)
    }
    return pipe.recvWindow
  }
  const many = Math.floor(RELAY_POOL_BYTES / (RELAY_MAX_WINDOW_BYTES - WRITE_UNIT_BYTES))
  const pairs = Array.from({ length: many }, splice)
  for (const { fast } of pairs) assert.equal(grown(fast), RELAY_MAX_WINDOW_BYTES)
  const late = Array.from({ length: 200 }, splice)
  const rest = late.reduce((sum, { fast }) => sum + grown(fast) - WRITE_UNIT_BYTES, 0)
  assert.ok(
    many * (RELAY_MAX_WINDOW_BYTES - WRITE_UNIT_BYTES) + rest <= RELAY_POOL_BYTES,
    `${rest} bytes more`,
  )
  pairs[0]!.fast.abort()
  const again = splice()
  assert.equal(grown(again.fast), RELAY_MAX_WINDOW_BYTES)
})

test('a direction that takes nothing for a minute ends its connection, one that takes a little does not', () => {
  const { clock, splice, meters } = relayed()
  const { fast, slow, take } = splice()
  fast.receive(8 * UNIT)
  for (let i = 0; i < 3; i++) {
    take()
    clock.advanceTo(clock.nowMs() + WRITE_STALL_TIMEOUT_MS)
  }
  assert.deepEqual(fast.told, ['pause'])
  clock.advanceTo(clock.nowMs() + WRITE_STALL_TIMEOUT_MS)
  assert.deepEqual([fast.told, slow.told], [['pause', 'abort'], ['abort']])
  assert.equal(meters.heldBytes(), 0)
})
