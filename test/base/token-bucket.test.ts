/** The rate holds whatever is asked for, in order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTokenBucket } from '../../src/base/token-bucket.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'

async function runUntilIdle(clock: VirtualClock): Promise<void> {
  for (;;) {
    for (let turn = 0; turn < 8; turn++) await Promise.resolve()
    const next = clock.nextMs()
    if (next === undefined) return
    clock.advanceTo(next)
  }
}

test('no stretch of time carries more than the rate and a burst, and nobody is overtaken', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 100, max: 100_000 }),
      async (sizes, rate) => {
        const clock = new VirtualClock(0)
        const bucket = createTokenBucket(clock, rate)
        const passed: { atMs: number; number: number; bytes: number }[] = []
        for (const [number, bytes] of sizes.entries())
          void bucket.take(bytes).then(() => passed.push({ atMs: clock.monotonicMs(), number, bytes }))
        await runUntilIdle(clock)
        assert.deepEqual(
          passed.map(({ number }) => number),
          sizes.map((_, number) => number),
        )
        let before = 0
        for (const { atMs, bytes } of passed) {
          assert.ok(before <= (rate * (atMs + 100)) / 1000 + 1, `${before} bytes had passed at ${atMs} ms`)
          before += bytes
        }
      },
    ),
  )
})

test('what was spent is waited for, and an abort ends the wait', async () => {
  const clock = new VirtualClock(0)
  const bucket = createTokenBucket(clock, 1000)
  bucket.spend(600)
  let isReady = false
  void bucket.ready().then(() => {
    isReady = true
  })
  await Promise.resolve()
  clock.advanceTo(499)
  await Promise.resolve()
  assert.equal(isReady, false)
  await runUntilIdle(clock)
  assert.equal(isReady, true)
  const abort = new AbortController()
  bucket.spend(5000)
  const waiting = bucket.ready(abort.signal)
  abort.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
})
