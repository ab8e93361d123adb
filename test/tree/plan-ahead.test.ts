import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import test from 'node:test'
import { planAhead } from '../../src/tree/checkout/plan-ahead.ts'
import { createSyncAhead } from '../../src/tree/checkout/sync-ahead.ts'

test('batches are planned before anybody asks, no more than said, and given in order', async () => {
  let planned = 0
  async function* plan(): AsyncGenerator<number, void, undefined> {
    while (planned < 5) yield ++planned
  }
  const ahead = planAhead(plan(), 2)
  await settle()
  assert.equal(planned, 2)
  assert.deepEqual(await ahead.next(), { value: 1, done: false })
  await settle()
  assert.equal(planned, 3)
  const rest = await Promise.all([1, 2, 3, 4, 5].map(() => ahead.next()))
  assert.deepEqual(
    rest.map(({ value }) => value),
    [2, 3, 4, 5, undefined],
  )
})

test('the error of a plan goes to one who asks; to those after it the plan has ended', async () => {
  async function* plan(): AsyncGenerator<number, void, undefined> {
    yield 1
    throw new Error('no such block')
  }
  const ahead = planAhead(plan(), 3)
  await settle()
  assert.equal((await ahead.next()).value, 1)
  await assert.rejects(ahead.next(), { message: 'no such block' })
  assert.equal((await ahead.next()).done, true)
})

test('the disk is set to work once enough is written, one sync at a time, and nothing is left when it ends', async () => {
  const running: { fd: number; finish: (error?: Error) => void }[] = []
  const ahead = createSyncAhead(Buffer.from(tmpdir()), {
    stepBytes: 10,
    sync: (fd) =>
      new Promise((resolve, reject) =>
        running.push({ fd, finish: (error) => (error === undefined ? resolve() : reject(error)) }),
      ),
  })
  ahead.note(9)
  assert.equal(running.length, 0)
  ahead.note(1)
  assert.equal(running.length, 1)
  ahead.note(30)
  assert.equal(running.length, 1, 'one is under way')
  // The sync at the end says what went wrong.
  running[0]!.finish(new Error('EIO: syncfs failed'))
  await settle()
  ahead.note(1)
  assert.equal(running.length, 2, 'what was written meanwhile counts')
  let isOver = false
  const end = ahead.end().then(() => {
    isOver = true
  })
  await settle()
  assert.equal(isOver, false, 'the descriptor is in use')
  running[1]!.finish()
  await end
  ahead.note(100)
  assert.equal(running.length, 2)
})

/** Everything that is only waiting for promises has run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
