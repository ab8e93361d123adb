import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../src/base/clock.ts'
import type { Block } from '../../src/block/block.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { tryZstd } from '../../src/block/encoding.ts'
import type { Arrival, ArrivalRequest } from '../../src/replica/fetch/arrivals.ts'
import { createArrivals } from '../../src/replica/fetch/arrivals.ts'
import type { PutBlock } from '../../src/store/block-store.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'

interface TestRequest extends ArrivalRequest {
  isCancelled: boolean
}

/** A store that tells each put, and can hold it up; time stands still but for `pass`. */
function setup() {
  const { blocks } = createMemoryStore()
  const abort = new AbortController()
  const timers: { atMs: number; task: () => void }[] = []
  let nowMs = 0
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after(delayMs, task) {
      const timer = { atMs: nowMs + delayMs, task }
      timers.push(timer)
      return () => {
        const at = timers.indexOf(timer)
        if (at >= 0) timers.splice(at, 1)
      }
    },
  }
  const puts: number[] = []
  const seen: string[] = []
  const errors: unknown[] = []
  let news: (() => void) | undefined
  const note = (what: string) => (arrivals: readonly Arrival<TestRequest>[]) => {
    for (const { offset } of arrivals) seen.push(`${what} ${offset}`)
    news?.()
  }
  const control: { beforePut: () => Promise<void> } = { beforePut: async () => undefined }
  const arrivals = createArrivals<TestRequest>(
    {
      blocks: {
        async put(given: readonly PutBlock[], options) {
          puts.push(given.length)
          await control.beforePut()
          await blocks.put(given, options)
        },
      },
      clock,
      heldUp: { during: (work) => work },
    },
    {
      signal: abort.signal,
      onStored: note('stored'),
      onCorrupt: note('corrupt'),
      onLeftAside: note('aside'),
      onError(error) {
        errors.push(error)
        news?.()
      },
    },
  )
  return {
    blocks,
    abort,
    control,
    timers,
    puts,
    seen,
    errors,
    push: arrivals.push,
    pass(ms: number) {
      nowMs += ms
      for (const timer of timers.splice(0)) if (timer.atMs <= nowMs) timer.task()
    },
    async until(isSo: () => boolean) {
      while (!isSo()) await new Promise<void>((resolve) => (news = resolve))
    },
  }
}

const blockOf = (text: string): Block => {
  const bytes = new Uint8Array(Buffer.from(text))
  return { cid: cidOf(RAW, bytes), bytes }
}

function arrivalOf(
  offset: number,
  { cid, bytes }: Block,
  request: TestRequest = { isCancelled: false },
): Arrival<TestRequest> {
  const block = { encoding: 'plain', bytes, lengthBytes: bytes.length } as const
  return { request, offset, cid, lengthBytes: bytes.length, block, atMs: 0 }
}

test('what comes after a pause is stored at once, what trickles in after it is gathered', async () => {
  const { push, pass, until, puts, seen, timers } = setup()
  push(arrivalOf(0, blockOf('first')))
  await until(() => seen.length === 1)
  for (let i = 1; i < 5; i++) {
    push(arrivalOf(i, blockOf(`block ${i}`)))
    await nextTurn()
  }
  assert.deepEqual(puts, [1])
  assert.equal(timers.length, 1)
  pass(20)
  await until(() => seen.length === 5)
  assert.deepEqual(puts, [1, 4])
  // Much does not wait, though no time has passed.
  push(arrivalOf(5, blockOf('x'.repeat(800_000))))
  await until(() => seen.length === 6)
  assert.deepEqual(
    seen.toSorted(),
    [0, 1, 2, 3, 4, 5].map((offset) => `stored ${offset}`),
  )
})

test('wrong bytes are told apart from the right ones beside them, plain and compressed', async () => {
  const { push, until, seen, blocks } = setup()
  const right = blockOf('right '.repeat(500))
  const frame = tryZstd(right.bytes, 3)!
  const zstd = { encoding: 'zstd', bytes: frame, lengthBytes: right.bytes.length } as const
  const other = blockOf('other '.repeat(500))
  const torn = { ...zstd, bytes: frame.subarray(0, -3) }
  const grown = { ...zstd, lengthBytes: zstd.lengthBytes + 1 }
  push({ ...arrivalOf(0, right), block: zstd })
  push({ ...arrivalOf(1, other), block: zstd })
  push({ ...arrivalOf(2, right), block: torn })
  push({ ...arrivalOf(3, right), block: grown })
  push({ ...arrivalOf(4, other), block: { encoding: 'plain', bytes: right.bytes, lengthBytes: 3000 } })
  push(arrivalOf(5, other))
  await until(() => seen.length === 6)
  assert.deepEqual(seen.toSorted(), [
    'corrupt 1',
    'corrupt 2',
    'corrupt 3',
    'corrupt 4',
    'stored 0',
    'stored 5',
  ])
  assert.deepEqual(await blocks.get(right.cid), right.bytes)
  assert.deepEqual(await blocks.get(other.cid), other.bytes)
})

test('what was cancelled before it was looked at is left aside, and nothing is blamed for it', async () => {
  const { push, until, seen, puts } = setup()
  const cancelled = { isCancelled: false }
  push(arrivalOf(0, { ...blockOf('a'), bytes: blockOf('wrong').bytes }, cancelled))
  push(arrivalOf(1, blockOf('b')))
  cancelled.isCancelled = true
  await until(() => seen.length === 2)
  assert.deepEqual(seen, ['aside 0', 'stored 1'])
  assert.deepEqual(puts, [1])
})

test('right bytes of a length that the index does not say are an error of the index', async () => {
  const { push, until, errors, seen } = setup()
  push({ ...arrivalOf(0, blockOf('four')), lengthBytes: 5 })
  await until(() => errors.length === 1)
  assert.match(String(errors[0]), /has 5 bytes; it has 4/)
  assert.deepEqual(seen, [])
})

test('the next blocks are looked at while some are stored; a store that fails ends it all, once', async () => {
  const { push, until, control, puts, errors, seen } = setup()
  const held = Promise.withResolvers<void>()
  control.beforePut = () => held.promise
  const big = 'x'.repeat(600_000)
  push(arrivalOf(0, blockOf(`${big}0`)))
  while (puts.length === 0) await nextTurn()
  push({ ...arrivalOf(1, blockOf('a')), cid: blockOf('b').cid })
  push(arrivalOf(2, blockOf(`${big}2`)))
  await until(() => seen.length === 1)
  assert.deepEqual(seen, ['corrupt 1'])
  held.reject(new Error('ENOSPC'))
  await until(() => errors.length > 0)
  push(arrivalOf(3, blockOf(`${big}3`)))
  for (let i = 0; i < 5; i++) await nextTurn()
  assert.deepEqual(errors.map(String), ['Error: ENOSPC'])
  assert.deepEqual(puts, [1])
})

test('what blocks are decoded into is used again only once they are stored', async () => {
  const { push, until, control, seen, blocks, puts } = setup()
  const texts = Array.from({ length: 12 }, (_, i) => blockOf(`${i} of a text that compresses `.repeat(400)))
  const packed = (i: number): Arrival<TestRequest> => {
    const { bytes } = texts[i]!
    const block = { encoding: 'zstd', bytes: tryZstd(bytes, 3)!, lengthBytes: bytes.length } as const
    return { ...arrivalOf(i, texts[i]!), block }
  }
  for (let unit = 0; unit < 4; unit++) {
    const held = Promise.withResolvers<void>()
    control.beforePut = () => held.promise
    const before = puts.length
    push(packed(3 * unit))
    // Much, so that it is not gathered.
    push(arrivalOf(100 + unit, blockOf(`${unit}`.repeat(600_000))))
    while (puts.length === before) await nextTurn()
    push(packed(3 * unit + 1))
    push(packed(3 * unit + 2))
    push({ ...arrivalOf(200 + unit, blockOf('x'.repeat(600_000))), cid: blockOf('y').cid })
    await until(() => seen.includes(`corrupt ${200 + unit}`))
    control.beforePut = async () => undefined
    held.resolve()
    await until(() => seen.includes(`stored ${3 * unit + 2}`))
  }
  for (const { cid, bytes } of texts) assert.deepEqual(await blocks.get(cid), bytes)
})

test('the end of the fetch ends it without an error', async () => {
  const { push, abort, pass, until, seen, errors, puts, timers } = setup()
  push(arrivalOf(0, blockOf('first')))
  await until(() => seen.length === 1)
  push(arrivalOf(1, blockOf('second')))
  await nextTurn()
  abort.abort(new Error('over'))
  pass(100)
  for (let i = 0; i < 5; i++) await nextTurn()
  assert.deepEqual([seen.length, errors.length, puts, timers.length], [1, 0, [1], 0])
})
