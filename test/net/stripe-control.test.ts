import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStripeControl, MAX_STRIPES, type PathSigns } from '../../src/net/stripe-control.ts'

const RTT_MS = 100

/** Runs a path for some time: what it delivers a second with so many connections. Returns how many there were at each second. */
function run(
  deliver: (connections: number, second: number) => number,
  {
    seconds = 60,
    baseRttMs = RTT_MS,
    newRttMs = RTT_MS,
    isBusy = (_second: number): boolean => false,
    path,
    declaredRate,
  }: {
    readonly seconds?: number
    readonly baseRttMs?: number
    readonly newRttMs?: number
    readonly isBusy?: (second: number) => boolean
    readonly path?: (second: number) => PathSigns
    readonly declaredRate?: number
  } = {},
): number[] {
  let second = 0
  const control = createStripeControl(() => baseRttMs, {
    isBusy: () => isBusy(second),
    path: () => path?.(second),
    declaredRate: () => declaredRate,
  })
  let connections = 1
  const seen: number[] = []
  for (let tick = 0; tick < seconds * 10; tick++) {
    const nowMs = tick * 100
    second = nowMs / 1000
    const wanted = control.received(deliver(connections, nowMs / 1000) / 10, nowMs)
    if (wanted > connections) control.opened(wanted, newRttMs, nowMs)
    // Those that the control did not keep go with its next answer.
    connections = control.received(0, nowMs)
    if (tick % 10 === 9) seen.push(connections)
  }
  return seen
}

test('a path that one connection fills keeps one, but for a try now and then', () => {
  const seen = run(() => 1e6, { seconds: 120 })
  assert.ok(seen.filter((count) => count > 1).length < 20, seen.join(' '))
  assert.equal(seen.at(-1), 1)
})

test('a path on which each connection adds its own gets as many as may be', () => {
  const seen = run((connections) => connections * 1e6)
  assert.equal(seen.at(-1), MAX_STRIPES)
  assert.ok(seen.indexOf(MAX_STRIPES) < 20, seen.join(' '))
})

test('a path that four fill stays at four', () => {
  assert.equal(run((connections) => Math.min(4, connections) * 1e6).at(-1), 4)
})

test('the first seconds, in which the rate rises or falls by itself, are no measure', () => {
  const seen = run((connections, second) => (second < 1.5 ? 5e6 : 1e6 * connections))
  assert.equal(seen.at(-1), MAX_STRIPES)
})

test('a near path, and one on which a queue stands, keep one', () => {
  const each = (connections: number): number => connections * 1e6
  assert.ok(run(each, { baseRttMs: 1, newRttMs: 1 }).every((count) => count === 1))
  assert.equal(run(each, { newRttMs: 300 }).at(-1), 1)
})

test('none is added while the processor is the limit', () => {
  const each = (connections: number): number => connections * 1e6
  const seen = run(each, { isBusy: (second) => second < 30 })
  assert.ok(
    seen.slice(0, 30).every((count) => count === 1),
    seen.join(' '),
  )
  assert.equal(seen.at(-1), MAX_STRIPES)
})

test('losses without a queue take all connections at once, and a queue takes none', () => {
  const each = (connections: number): number => connections * 1e6
  const losing = (queueMs: number) => (second: number) => ({
    outOfOrderPackets: Math.floor(second * 20),
    queueMs,
    isYielding: false,
  })
  const seen = run(each, { path: losing(2) })
  assert.ok(seen.indexOf(MAX_STRIPES) <= 1, seen.join(' '))
  assert.ok(
    run(each, { path: losing(80) }).every((count) => count === 1),
    'the path is full',
  )
  // What a few packets say that have overtaken each other.
  const orderly = run(each, {
    path: (second) => ({ outOfOrderPackets: Math.floor(second), queueMs: 2, isYielding: false }),
  })
  assert.ok(orderly.indexOf(MAX_STRIPES) > 2, orderly.join(' '))
})

test('of losses that more connections make worse there is one again', () => {
  const seen = run((connections) => (connections > 1 ? 0.5e6 : 1e6), {
    path: (second) => ({ outOfOrderPackets: Math.floor(second * 20), queueMs: 2, isYielding: false }),
  })
  assert.equal(seen.at(-10), 1)
  assert.ok(seen.filter((count) => count > 1).length < 10, seen.join(' '))
})

test('a path that is declared to hold more than buffers do gets four before anything is measured', () => {
  const each = (connections: number): number => connections * 5e6
  assert.ok(run(each, { seconds: 1, declaredRate: 37.5e6 })[0]! >= 4)
  assert.equal(run(each, { seconds: 1, declaredRate: 5e6 })[0], 1)
  assert.equal(run(each, { seconds: 1, declaredRate: 37.5e6, baseRttMs: 5 })[0], 1)
})

test('a rate that fills the buffers of one connection is not waited for to settle', () => {
  const seen = run((connections, second) => (connections > 1 ? 80e6 : 10e6 * 2 ** Math.floor(second)), {
    seconds: 6,
  })
  assert.ok(seen.indexOf(4) !== -1 && seen.indexOf(4) <= 3, seen.join(' '))
})

test('while others have the path there is one, and as many as help soon after', () => {
  const seen = run((connections) => connections * 1e6, {
    path: (second) => ({ outOfOrderPackets: 0, queueMs: 0, isYielding: second >= 30 && second < 40 }),
  })
  assert.equal(seen[28], MAX_STRIPES)
  assert.ok(
    seen.slice(31, 39).every((count) => count === 1),
    seen.join(' '),
  )
  assert.equal(seen.at(-1), MAX_STRIPES)
})

test('what was learnt is forgotten with the connections', () => {
  const control = createStripeControl(() => RTT_MS)
  let nowMs = 0
  const pass = (bytes: number): number => {
    nowMs += 1000
    return control.received(bytes, nowMs)
  }
  while (pass(1000) === 1);
  control.opened(4, RTT_MS, nowMs)
  control.reset()
  assert.equal(pass(1000), 1)
})
