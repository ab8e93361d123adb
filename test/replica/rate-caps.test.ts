/** Caps by path class: what is served and what is asked for keeps to them, and the other class is free. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import type { BlockServer } from '../../src/net/ports.ts'
import { createRateCapper } from '../../src/replica/fetch/rate-caps.ts'
import type { FetchNetwork } from '../../src/replica/fetch-network.ts'

const BLOCK = new Uint8Array(1000)
const page = cidOf(RAW, BLOCK)
const offsets = Array.from({ length: 40 }, (_, offset) => offset)
const request = { tree: 't', page, offsets }
const signal = new AbortController().signal

const server: BlockServer = {
  object: async () => BLOCK,
  async *blocks(_peer, { offsets: all }) {
    yield all.map((offset) => ({ offset, bytes: BLOCK }))
  },
  async *watch() {
    yield { kind: 'unknown' }
  },
}

const network: FetchNetwork = {
  fetchObject: async () => BLOCK,
  openBlocks: (peer) => ({
    peer,
    async request({ offsets: all }, onAnswers) {
      onAnswers(all.map((offset) => ({ offset, status: 'have', bytes: BLOCK })))
    },
    close: () => undefined,
  }),
  async *watch() {
    yield { kind: 'unknown' }
  },
}

/** Runs `work` under a virtual clock; returns the time that it took. */
async function timeOf(clock: VirtualClock, work: Promise<unknown>): Promise<number> {
  const startMs = clock.monotonicMs()
  let isDone = false
  void work.then(() => {
    isDone = true
  })
  while (!isDone) {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
    const next = clock.nextMs()
    if (next !== undefined && !isDone) clock.advanceTo(next)
  }
  return clock.monotonicMs() - startMs
}

function capper() {
  const clock = new VirtualClock(0)
  const none = { up: 0, down: 0 }
  const caps = { wan: { up: 10_000, down: 10_000 }, region: none }
  return { clock, ...createRateCapper({ clock, isFar: (peer) => peer === 'far' }, caps) }
}

async function drain(blocks: AsyncIterable<readonly { readonly offset: number }[]>): Promise<number[]> {
  const seen: number[] = []
  for await (const batch of blocks) for (const { offset } of batch) seen.push(offset)
  return seen
}

test('what is served to other regions keeps to the cap, and neighbours are served at once', async () => {
  const { clock, serve } = capper()
  const capped = serve(server)
  const farMs = await timeOf(clock, drain(capped.blocks('far', request, signal)))
  assert.ok(farMs > 3500 && farMs <= 4000, `${farMs} ms for 40 kB at 10 kB/s`)
  assert.equal(await timeOf(clock, drain(capped.blocks('near', request, signal))), 0)
})

test('two who are served at a time share one cap', async () => {
  const { clock, serve } = capper()
  const capped = serve(server)
  const both = Promise.all([1, 2].map(() => drain(capped.blocks('far', request, signal))))
  const ms = await timeOf(clock, both)
  assert.ok(ms > 7500 && ms <= 8000, `${ms} ms for 80 kB at 10 kB/s`)
})

test('what is fetched from other regions keeps to the cap, every block is answered once, in parts', async () => {
  const { clock, fetch } = capper()
  const capped = fetch(network)
  const seen: number[] = []
  const work = capped.openBlocks('far').request(request, (answers) => {
    seen.push(...answers.map(({ offset }) => offset))
  })
  // The last part may arrive at once: the next request waits for it.
  const ms = await timeOf(clock, work)
  assert.ok(ms > 2000 && ms <= 4000, `${ms} ms for 40 kB at 10 kB/s`)
  assert.deepEqual(seen, offsets)
  const nextMs = await timeOf(clock, capped.fetchObject('far', { tree: 't', cid: page }))
  assert.ok(ms + nextMs > 3500, `${ms + nextMs} ms`)
  assert.equal(
    await timeOf(
      clock,
      capped.openBlocks('near').request(request, () => undefined),
    ),
    0,
  )
})

test('an urgent tree is counted and not held up; the others make room for it', async () => {
  const clock = new VirtualClock(0)
  const none = { up: 0, down: 0 }
  const { serve, fetch } = createRateCapper(
    { clock, isFar: () => true, isUrgent: (tree) => tree === 'urgent' },
    { wan: { up: 10_000, down: 10_000 }, region: none },
  )
  const urgent = { ...request, tree: 'urgent' }
  const served = serve(server)
  const channel = fetch(network).openBlocks('far')
  assert.equal(await timeOf(clock, drain(served.blocks('far', urgent, signal))), 0)
  assert.equal(
    await timeOf(
      clock,
      channel.request(urgent, () => undefined),
    ),
    0,
  )
  const restMs = await timeOf(clock, drain(served.blocks('far', request, signal)))
  assert.ok(restMs > 7000, `${restMs} ms after 40 kB that were urgent`)
  const nextMs = await timeOf(
    clock,
    channel.request({ ...request, offsets: [0] }, () => undefined),
  )
  assert.ok(restMs + nextMs > 3500)
})

test('a cap that changes counts at once, for what waits as well', async () => {
  const none = { up: 0, down: 0 }
  for (const [wan, leastMs, mostMs] of [
    [none, 1000, 1000],
    [{ up: 40_000, down: 40_000 }, 1500, 2100],
  ] as const) {
    const { clock, serve, fetch, change } = capper()
    clock.after(1000, () => change({ wan, region: none }))
    const channel = fetch(network).openBlocks('far')
    const work = [
      drain(serve(server).blocks('far', request, signal)),
      channel.request(request, () => undefined).then(() => channel.request(request, () => undefined)),
    ]
    const ms = await timeOf(clock, Promise.all(work))
    assert.ok(ms >= leastMs && ms <= mostMs, `${ms} ms`)
  }
  // A cap where there was none.
  const { clock, serve, change } = capper()
  change({ wan: none, region: { up: 10_000, down: 10_000 } })
  assert.ok((await timeOf(clock, drain(serve(server).blocks('near', request, signal)))) > 3500)
})
