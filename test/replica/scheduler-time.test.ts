import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { startHeldUp } from '../../src/replica/scheduler/held-up.ts'
import { advanceTime, clockMsOf, ownMs, startTime } from '../../src/replica/scheduler/time.ts'

const step = fc.record({
  passMs: fc.integer({ min: 0, max: 5000 }),
  heldMs: fc.integer({ min: 0, max: 5000 }),
})

test('own time never goes back, never runs faster than the clock, and knows when the clock will show it', () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      let time = startTime(1000, 7)
      let [clockMs, heldUpMs] = [1000, 7]
      for (const { passMs, heldMs } of steps) {
        const beforeMs = ownMs(time)
        clockMs += passMs
        heldUpMs += heldMs
        time = advanceTime(time, clockMs, heldUpMs)
        assert.ok(ownMs(time) >= beforeMs && ownMs(time) <= beforeMs + passMs)
        assert.ok(time.share >= 0 && time.share <= 1)
        const soonMs = clockMsOf(time, ownMs(time) + 100)
        assert.ok(Math.abs(ownMs(advanceTime(time, soonMs, heldUpMs)) - ownMs(time) - 100) < 0.01)
      }
    }),
  )
})

test('of a node that is never held up it is the clock, to the last bit', () => {
  let time = startTime(0.1, 0)
  for (let clockMs = 0.1; clockMs < 100; clockMs += 0.1) {
    time = advanceTime(time, clockMs, 0)
    assert.equal(ownMs(time), clockMs)
    assert.equal(clockMsOf(time, clockMs + 0.3), clockMs + 0.3)
  }
})

test('one that is late all the time still gets on: half as fast as it runs at the least', () => {
  let time = startTime(0, 0)
  for (let clockMs = 300; clockMs <= 300_000; clockMs += 300)
    time = advanceTime(time, clockMs, (clockMs * 2) / 3)
  assert.ok(ownMs(time) > 50_000 && ownMs(time) <= 100_000, `${ownMs(time)} ms of 100000`)
  assert.ok(time.share > 0.1 && time.share < 0.34)
})

test('a late timer and slow work count, ordinary ones do not', async () => {
  const clock = new VirtualClock(0)
  const heldUp = startHeldUp(clock)
  for (let nowMs = 10; nowMs <= 1000; nowMs += 10) clock.advanceTo(nowMs)
  await heldUp.during(Promise.resolve())
  assert.equal(heldUp.totalMs(), 0)
  // The process did not run from 1000 to 4000: its timers all ring afterwards.
  let lateMs = 0
  const late = {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs() + lateMs,
    after: (delayMs: number, task: () => void) => clock.after(delayMs, task),
  }
  const other = startHeldUp(late)
  lateMs = 3000
  const before = other.totalMs()
  assert.ok(before > 2900 && before < 3000, `${before} ms`)
  clock.advanceTo(1060)
  assert.ok(other.totalMs() >= before && other.totalMs() < 3050)
  const work = Promise.withResolvers<void>()
  const done = other.during(work.promise)
  lateMs += 2000
  work.resolve()
  await done
  assert.ok(other.totalMs() - before > 1700)
  heldUp.stop()
  other.stop()
  assert.equal(clock.nextMs(), undefined)
})
