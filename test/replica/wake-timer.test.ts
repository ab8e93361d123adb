import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createWakeTimer } from '../../src/replica/scheduler/wake-timer.ts'

test('it rings once, at the time that was set last', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          afterMs: fc.integer({ min: 1, max: 500 }),
          wakeInMs: fc.integer({ min: -10, max: 400 }),
        }),
      ),
      (steps) => {
        const clock = new VirtualClock(0)
        const rung: number[] = []
        const expected: number[] = []
        const timer = createWakeTimer(clock, () => rung.push(clock.monotonicMs()))
        for (const { afterMs, wakeInMs } of steps) {
          const nowMs = clock.monotonicMs()
          timer.set(nowMs + wakeInMs)
          // What is due already rings in the next turn.
          const atMs = nowMs + Math.max(1, wakeInMs)
          if (atMs <= nowMs + afterMs) expected.push(atMs)
          clock.advanceTo(nowMs + afterMs)
          assert.deepEqual(rung, expected)
        }
      },
    ),
  )
})

test('a time that moves away with every event takes one timer, not one each', () => {
  const clock = new VirtualClock(0)
  let timers = 0
  let rung = 0
  const timer = createWakeTimer(
    {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after(delayMs, task) {
        timers++
        return clock.after(delayMs, task)
      },
    },
    () => rung++,
  )
  for (let nowMs = 0; nowMs < 990; nowMs++) {
    timer.set(nowMs + 1000)
    clock.advanceTo(nowMs + 1)
  }
  assert.equal(timers, 1)
  timer.stop()
  clock.advanceTo(5000)
  assert.equal(rung, 0)
})
