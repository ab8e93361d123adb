import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSharedFlights } from '../../src/replica/fetch/shared-flights.ts'

function setUp() {
  const flights = createSharedFlights<number>()
  const started: { signal: AbortSignal; resolve: (value: number) => void; reject: (error: Error) => void }[] =
    []
  const task = (signal: AbortSignal): Promise<number> => {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    started.push({ signal, resolve, reject })
    return promise
  }
  return { flights, started, task }
}

test('who asks while it is under way waits for the same, and gets the same error', async () => {
  const { flights, started, task } = setUp()
  const both = [flights.run('a', task), flights.run('a', task)]
  const other = flights.run('b', task)
  assert.equal(started.length, 2)
  started[0]!.resolve(1)
  started[1]!.reject(new Error('no'))
  assert.deepEqual(await Promise.all(both), [1, 1])
  await assert.rejects(other, /no/)
  assert.equal(flights.size, 0)
  void flights.run('a', task)
  assert.equal(started.length, 3)
})

test('one that goes leaves the others alone; the last one ends it', async () => {
  const { flights, started, task } = setUp()
  const [one, two] = [new AbortController(), new AbortController()]
  const first = flights.run('a', task, one.signal)
  const second = flights.run('a', task, two.signal)
  one.abort(new Error('gone'))
  await assert.rejects(first, /gone/)
  assert.equal(started[0]!.signal.aborted, false)
  two.abort(new Error('gone too'))
  await assert.rejects(second, /gone too/)
  assert.equal(started[0]!.signal.aborted, true)
})

test('one that was given up is not joined any more', async () => {
  const { flights, started, task } = setUp()
  const gone = new AbortController()
  const first = flights.run('a', task, gone.signal)
  gone.abort(new Error('gone'))
  await assert.rejects(first)
  const second = flights.run('a', task)
  assert.equal(started.length, 2)
  started[0]!.reject(new Error('aborted'))
  started[1]!.resolve(2)
  assert.equal(await second, 2)
})
