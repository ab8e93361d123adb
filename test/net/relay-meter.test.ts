import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Stream } from '@libp2p/interface'
import { RELAY_HIGH_BYTES } from '../../src/net/limits.ts'
import { meterStream, spliceMeters } from '../../src/net/relay-meter.ts'

/** A stream as libp2p's are seen from outside: what it was told, in order. */
class Pipe extends EventTarget {
  readonly told: string[] = []

  send(): boolean {
    return true
  }

  pause(): void {
    this.told.push('pause')
  }

  resume(): void {
    this.told.push('resume')
  }

  receive(data: Uint8Array): void {
    this.dispatchEvent(Object.assign(new Event('message'), { data }))
  }
}

test('a stream that brings more than the other takes is paused until that has caught up', () => {
  const fast = new Pipe()
  const slow = new Pipe()
  let sent = 0
  const meters = [fast, slow].map((pipe) =>
    meterStream(pipe as unknown as Stream, (bytes) => {
      sent += bytes
    }),
  )
  // What was said before they were joined does not count.
  fast.receive(new Uint8Array(2 * RELAY_HIGH_BYTES))
  spliceMeters(meters[0]!, meters[1]!)
  const unit = new Uint8Array(RELAY_HIGH_BYTES / 4)
  for (let i = 0; i < 4; i++) fast.receive(unit)
  assert.deepEqual(fast.told, [])
  fast.receive(unit)
  fast.receive(unit)
  assert.deepEqual(fast.told, ['pause'])
  const take = (slow as unknown as Stream).send
  for (let i = 0; i < 5; i++) take(unit)
  assert.deepEqual(fast.told, ['pause'])
  take(unit)
  assert.deepEqual(fast.told, ['pause', 'resume'])
  assert.deepEqual(slow.told, [])
  assert.equal(sent, 6 * unit.length)
})
