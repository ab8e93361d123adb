import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createRunningClock } from '../../src/replica/running-clock.ts'

test('it goes as the clock does, however seldom it is asked', () => {
  const clock = new VirtualClock()
  const running = createRunningClock(clock)
  const start = running.monotonicMs()
  clock.advanceTo(clock.nowMs() + 10_000)
  assert.equal(running.monotonicMs() - start, 10_000)
  running.stop()
})

test('time in which nothing ran does not count, but for a moment', () => {
  const clock = new VirtualClock()
  let stoppedMs = 0
  const running = createRunningClock({
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs() + stoppedMs,
    after: (delayMs, task) => clock.after(delayMs, task),
  })
  const start = running.monotonicMs()
  clock.advanceTo(clock.nowMs() + 1000)
  stoppedMs = 60_000
  assert.equal(running.monotonicMs() - start, 1500)
  clock.advanceTo(clock.nowMs() + 2000)
  assert.equal(running.monotonicMs() - start, 3500)
})

test('a stopped one sets no more timers', () => {
  const clock = new VirtualClock()
  let timers = 0
  const running = createRunningClock({
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    after(delayMs, task) {
      timers++
      return clock.after(delayMs, task)
    },
  })
  running.stop()
  clock.advanceTo(clock.nowMs() + 10_000)
  assert.equal(timers, 1)
})
