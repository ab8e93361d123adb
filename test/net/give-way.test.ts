/** The rate of a sender that gives way, over a modelled pipe. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createGiveWay, type GiveWay } from '../../src/net/give-way.ts'
import { createPipe, type OnePipe, type PipeSettings, STEP_MS } from './one-pipe.ts'

const MBIT = 125_000
const SETTINGS = { targetMs: 25, minBytesPerSecond: 50_000 }
const PIPE: PipeSettings = { bytesPerSecond: 20 * MBIT, baseRttMs: 60, queueBytes: 2 * MBIT }
/** Looks of the pacer. */
const STEPS_A_LOOK = 5

interface Sender {
  rate(): number
  hear(heard: { deliveredBytes: number; lostBytes: number; rttMs: number }, nowMs: number): void
}

/** Over TCP, which sends no more than twice what arrives, and starts at 10 packets. */
function giving(giveWay: GiveWay, pipe: PipeSettings): Sender {
  let bytes = 0
  let steps = 0
  let tcp = (10 * 1448 * 1000) / pipe.baseRttMs
  const recent: number[] = []
  return {
    rate: () => Math.min(giveWay.rate(), tcp),
    hear({ deliveredBytes, rttMs }, nowMs) {
      bytes += deliveredBytes
      recent.push(deliveredBytes)
      if (recent.length > 20) recent.shift()
      const got = (recent.reduce((sum, each) => sum + each, 0) * 1000) / (recent.length * STEP_MS)
      tcp = Math.max(tcp, 2 * got)
      if (++steps % STEPS_A_LOOK !== 0) return
      giveWay.look(
        bytes === 0 ? undefined : { rttMs, minRttMs: pipe.baseRttMs, deliveredBytes: bytes },
        nowMs,
      )
      bytes = 0
    },
  }
}

/** A window of cubic's shape (RFC 9438): after a loss 0.7 of it, then back by a cubic of the time. */
function cubic({ baseRttMs }: PipeSettings): Sender {
  let window = 10 * 1448
  let most = Number.POSITIVE_INFINITY
  let lostMs = 0
  let rtt = baseRttMs
  return {
    rate: () => (window * 1000) / rtt,
    hear({ deliveredBytes, lostBytes, rttMs }, nowMs) {
      rtt = rttMs
      if (lostBytes > 0 && nowMs - lostMs > rttMs) {
        most = window
        window *= 0.7
        lostMs = nowMs
      } else if (most === Number.POSITIVE_INFINITY) window += deliveredBytes
      else {
        const seconds = (nowMs - lostMs) / 1000
        const packets = most / 1448
        const back = Math.cbrt((packets * 0.3) / 0.4)
        window = Math.max(2 * 1448, 1448 * (0.4 * (seconds - back) ** 3 + packets))
      }
    },
  }
}

/** Each sender's mean rate over the time. */
function run(pipe: OnePipe, senders: readonly Sender[], fromMs: number, untilMs: number, each?: () => void) {
  const got = senders.map(() => 0)
  for (let nowMs = fromMs; nowMs < untilMs; nowMs += STEP_MS) {
    const heard = pipe.step(senders.map((sender) => sender.rate()))
    for (const [i, sender] of senders.entries()) {
      got[i]! += heard[i]!.deliveredBytes
      sender.hear(heard[i]!, nowMs)
    }
    each?.()
  }
  return got.map((bytes) => (bytes * 1000) / (untilMs - fromMs))
}

test('alone it has the pipe, with a queue of about the target', () => {
  const pipe = createPipe(PIPE)
  const own = giving(createGiveWay(SETTINGS), PIPE)
  run(pipe, [own], 0, 3_000)
  const queues: number[] = []
  const [rate] = run(pipe, [own], 3_000, 63_000, () => queues.push(pipe.queueMs()))
  assert.ok(rate! > 0.95 * PIPE.bytesPerSecond, `${rate}`)
  const mean = queues.reduce((sum, each) => sum + each, 0) / queues.length
  assert.ok(mean < 2 * SETTINGS.targetMs, `${mean} ms`)
})

test('beside a flow that fills the queue it takes little, and has all of it within seconds after', () => {
  const pipe = createPipe(PIPE)
  const giveWay = createGiveWay(SETTINGS)
  const own = giving(giveWay, PIPE)
  run(pipe, [own], 0, 5_000)
  const other = cubic(PIPE)
  run(pipe, [own, other], 5_000, 10_000)
  const [mine, others] = run(pipe, [own, other], 10_000, 40_000)
  assert.ok(others! > 0.75 * PIPE.bytesPerSecond, `${others}`)
  assert.ok(mine! > 0.9 * SETTINGS.minBytesPerSecond, `${mine}`)
  assert.equal(giveWay.isYielding(40_000), true)
  run(pipe, [own], 40_000, 43_000)
  const [after] = run(pipe, [own], 43_000, 46_000)
  assert.ok(after! > 0.9 * PIPE.bytesPerSecond, `${after}`)
})

test('two that give way share the pipe alike, though the second found the queue of the first', () => {
  const pipe = createPipe(PIPE)
  const own = giving(createGiveWay(SETTINGS), PIPE)
  run(pipe, [own], 0, 8_000)
  // Comes late: the smallest round trip that it sees is of a queue.
  const late = createGiveWay(SETTINGS)
  let smallestMs = Number.POSITIVE_INFINITY
  const second = giving(
    {
      ...late,
      look(sample, nowMs) {
        smallestMs = Math.min(smallestMs, sample?.rttMs ?? smallestMs)
        return late.look(sample && { ...sample, minRttMs: smallestMs }, nowMs)
      },
    },
    PIPE,
  )
  run(pipe, [own, second], 8_000, 60_000)
  const [a, b] = run(pipe, [own, second], 60_000, 180_000)
  assert.ok(Math.min(a!, b!) > Math.max(a!, b!) / 2, `${a} ${b}`)
  assert.ok(a! + b! > 0.93 * PIPE.bytesPerSecond, `${a} ${b}`)
})

test('losses without a queue bound nothing', () => {
  const giveWay = createGiveWay(SETTINGS)
  for (let nowMs = 0; nowMs < 60_000; nowMs += 50)
    giveWay.look({ rttMs: 100, minRttMs: 100, deliveredBytes: nowMs % 500 === 0 ? 100 : 100_000 }, nowMs)
  assert.equal(giveWay.rate(), Number.POSITIVE_INFINITY)
})

test('a route that has become longer is the new base after some minutes', () => {
  const giveWay = createGiveWay(SETTINGS)
  const look = (rttMs: number, nowMs: number): number =>
    giveWay.look({ rttMs, minRttMs: 0, deliveredBytes: 100_000 }, nowMs)
  for (let nowMs = 0; nowMs < 60_000; nowMs += 50) look(50, nowMs)
  for (let nowMs = 60_000; nowMs < 120_000; nowMs += 50) look(150, nowMs)
  assert.ok(giveWay.rate() < 2_000_000)
  for (let nowMs = 120_000; nowMs < 500_000; nowMs += 50) look(150, nowMs)
  assert.equal(giveWay.rate(), Number.POSITIVE_INFINITY)
  assert.equal(giveWay.baseMs(), 150)
})

test('whatever is measured, the rate is never below the minimum, and free again soon after the queue is gone', () => {
  const sample = fc.record({
    rttMs: fc.double({ min: 20, max: 5_000, noNaN: true }),
    minRttMs: fc.constantFrom(0, 20),
    deliveredBytes: fc.integer({ min: 0, max: 10_000_000 }),
  })
  const looks = fc.array(
    fc.record({ afterMs: fc.integer({ min: 1, max: 3_000 }), sample: fc.option(sample, { nil: undefined }) }),
    { maxLength: 200 },
  )
  fc.assert(
    fc.property(looks, fc.integer({ min: 1, max: 500 }), (all, targetMs) => {
      const giveWay = createGiveWay({ targetMs, minBytesPerSecond: 70_000 })
      let nowMs = 0
      for (const { afterMs, sample } of all) {
        nowMs += afterMs
        assert.ok(giveWay.look(sample, nowMs) >= 70_000)
      }
      // Whatever the base became: no packet waits any more.
      const base = giveWay.baseMs() ?? 20
      for (let i = 0; i < 200; i++) {
        nowMs += 50
        giveWay.look({ rttMs: base, minRttMs: 0, deliveredBytes: 5_000 }, nowMs)
      }
      if (base <= 100) assert.equal(giveWay.rate(), Number.POSITIVE_INFINITY)
    }),
    { numRuns: 300 },
  )
})

test('any pipe: alone it has nine tenths, and a flow that fills the queue three quarters beside it', () => {
  const pipes = fc.record({
    bytesPerSecond: fc.integer({ min: 10 * MBIT, max: 200 * MBIT }),
    baseRttMs: fc.integer({ min: 2, max: 20 }).map((tens) => 10 * tens),
    queueMs: fc.integer({ min: 80, max: 300 }),
  })
  fc.assert(
    fc.property(pipes, ({ queueMs, ...rest }) => {
      const settings = { ...rest, queueBytes: (rest.bytesPerSecond * queueMs) / 1000 }
      const pipe = createPipe(settings)
      const own = giving(createGiveWay(SETTINGS), settings)
      run(pipe, [own], 0, 8_000)
      const [alone] = run(pipe, [own], 8_000, 38_000)
      assert.ok(alone! > 0.9 * settings.bytesPerSecond, `alone ${alone}`)
      const other = cubic(settings)
      run(pipe, [own, other], 38_000, 58_000)
      const [, others] = run(pipe, [own, other], 58_000, 118_000)
      assert.ok(others! > 0.75 * settings.bytesPerSecond, `others ${others}`)
    }),
    { numRuns: 25 },
  )
})
