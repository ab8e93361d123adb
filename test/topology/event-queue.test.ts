import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createEventQueue } from '../../topology/simulator/event-queue.ts'

test('tasks run by time, those of one instant in the order in which they were set', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 3000 }), (times) => {
      const queue = createEventQueue()
      const ran: [number, number][] = []
      for (const [i, atMs] of times.entries()) queue.at(atMs, { run: () => ran.push([queue.nowMs(), i]) })
      while (queue.runNext(Number.POSITIVE_INFINITY));
      const sorted = [...times.entries()].map(([i, atMs]): [number, number] => [atMs, i])
      assert.deepEqual(
        ran,
        sorted.sort((a, b) => a[0] - b[0] || a[1] - b[1]),
      )
    }),
    { numRuns: 50 },
  )
})

test('a task set by a task runs after it, never before now, and not beyond the limit', () => {
  const queue = createEventQueue()
  const ran: string[] = []
  queue.after(10, () => {
    queue.at(3, { run: () => ran.push(`late at ${queue.nowMs()}`) })
    queue.after(5, () => ran.push(`at ${queue.nowMs()}`))
    queue.after(500, () => ran.push('too late'))
  })
  while (queue.runNext(100));
  assert.deepEqual(ran, ['late at 10', 'at 15'])
  assert.equal(queue.nowMs(), 15)
})
