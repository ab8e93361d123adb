import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { giveWayValue, parseGiveWay } from '../../node/cli/give-way.ts'
import { formatWindow, parseWindow } from '../../node/cli/limit-window.ts'
import { loadConfig } from '../../node/config.ts'
import { DAYS } from '../../node/limit-names.ts'
import { type LimitSchedule, nextChangeMs, SCHEDULE, windowAt } from '../../node/limit-schedule.ts'
import { loadLimits } from '../../node/limits.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { RateCaps } from '../../src/replica/fetch/rate-caps.ts'
import { tempDir } from './temp-dir.ts'

test('limits that are set go before the config, over a restart, until they are taken back', async (t) => {
  const dir = await tempDir(t)
  const file = join(dir, 'limits.json')
  const sources = { file: join(dir, 'none'), env: {}, flags: { wanUpBytesPerSecond: 5000 } }
  const config = await loadConfig(sources)
  const told: RateCaps[] = []
  const clock = new VirtualClock()
  const load = () => loadLimits({ file, config, clock, onChange: (caps) => told.push(caps) })
  const limits = await load()
  assert.deepEqual(limits.caps(), { wan: { up: 5000, down: 0 }, region: { up: 0, down: 0 } })
  await limits.change({ wanUpBytesPerSecond: 0, regionDownBytesPerSecond: 70 })
  const expected = { wan: { up: 0, down: 0 }, region: { up: 0, down: 70 } }
  assert.deepEqual(told, [expected])
  const again = await load()
  assert.deepEqual(again.caps(), expected)
  assert.deepEqual(again.read().wanUpBytesPerSecond, {
    value: 0,
    from: 'set',
    configured: 5000,
    otherwise: 0,
  })
  await again.change({ wanUpBytesPerSecond: null, regionDownBytesPerSecond: null })
  assert.deepEqual(again.read().wanUpBytesPerSecond, {
    value: 5000,
    from: 'config',
    configured: 5000,
    otherwise: 5000,
  })
  assert.deepEqual((await load()).caps(), { wan: { up: 5000, down: 0 }, region: { up: 0, down: 0 } })
  await writeFile(file, '{"wanUpBytesPerSecond":-1}')
  await assert.rejects(load(), { code: 'corrupt' })
})

test('what gives way is told when it changes, and kept over a restart', async (t) => {
  const file = join(await tempDir(t), 'limits.json')
  const config = await loadConfig({ file: join(file, '..', 'none'), env: {}, flags: { giveWayMs: 0 } })
  const told: unknown[] = []
  const load = () =>
    loadLimits({
      ...{ file, config, clock: new VirtualClock(), onChange: () => assert.fail('no cap has changed') },
      onGiveWay: (settings) => told.push(settings),
    })
  const limits = await load()
  assert.equal(limits.giveWay(), undefined)
  const before = JSON.stringify(limits.said())
  await limits.change({ giveWayMs: 40 })
  await limits.change({ giveWayMinBytesPerSecond: 90_000 })
  assert.deepEqual(told, [
    { targetMs: 40, minBytesPerSecond: 100_000 },
    { targetMs: 40, minBytesPerSecond: 90_000 },
  ])
  assert.notEqual(JSON.stringify(limits.said()), before)
  const again = await load()
  assert.deepEqual(again.giveWay(), { targetMs: 40, minBytesPerSecond: 90_000 })
  assert.deepEqual(again.read().giveWayMs, { value: 40, from: 'set', configured: 0 })
  await again.change({ giveWayMs: null })
  assert.equal(told.at(-1), undefined)
  assert.equal(again.giveWay(), undefined)
})

test('giving way is read as it is told', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1000 }), (ms) => assert.equal(parseGiveWay(giveWayValue(ms)), ms)),
  )
  assert.deepEqual(['on', 'config', '7', '40 ms'].map(parseGiveWay), [25, null, 7, 40])
  for (const wrong of ['', '0', '1001', 'yes', '2.5', '40s'])
    assert.throws(() => parseGiveWay(wrong), { code: 'invalid' })
})

const at = (text: string) => Date.parse(text)
const PRAGUE: LimitSchedule = {
  timeZone: 'Europe/Prague',
  windows: [
    { days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00', wanUpBytesPerSecond: 2 },
    { days: ['sun'], from: '01:30', to: '02:30', wanUpBytesPerSecond: 3 },
    { days: ['sat'], from: '22:00', to: '06:00', wanUpBytesPerSecond: 4 },
  ],
}

test('a window holds by the clocks of its zone, over midnight, and over the days when clocks change', () => {
  const held = (text: string) => windowAt(PRAGUE, at(text))
  // A Friday in winter: UTC+1; in summer: UTC+2.
  assert.deepEqual(['2026-01-09T06:59Z', '2026-01-09T07:00Z', '2026-01-09T17:00Z'].map(held), [
    undefined,
    0,
    undefined,
  ])
  assert.deepEqual(['2026-07-10T05:59Z', '2026-07-10T06:00Z', '2026-07-10T16:00Z'].map(held), [
    undefined,
    0,
    undefined,
  ])
  // Saturday night, and the earlier window on Sunday goes before it.
  assert.deepEqual(
    ['2026-01-10T21:30Z', '2026-01-11T00:00Z', '2026-01-11T00:30Z', '2026-01-11T04:59Z'].map(held),
    [2, 2, 1, 2],
  )
  assert.equal(held('2026-01-11T05:00Z'), undefined)
  // 2026-10-25: 02:00 to 03:00 comes twice, so 01:30 to 02:30 is an hour in two parts, with half an hour between them.
  assert.deepEqual(
    [
      '2026-10-24T23:30Z',
      '2026-10-25T00:29Z',
      '2026-10-25T00:30Z',
      '2026-10-25T01:00Z',
      '2026-10-25T01:30Z',
    ].map(held),
    [1, 1, 2, 1, 2],
  )
  // 2026-03-29: 02:00 to 03:00 is left out: the window ends with 02:00.
  assert.deepEqual(['2026-03-29T00:45Z', '2026-03-29T01:00Z'].map(held), [1, 2])
})

test('what holds next is found by looking ahead, and is the very instant of the change', () => {
  const zones = ['UTC', 'Europe/Prague', 'Asia/Kathmandu', 'America/New_York', 'Australia/Lord_Howe']
  const quarter = fc.integer({ min: 0, max: 95 })
  const time = (value: number) =>
    `${String(Math.floor(value / 4)).padStart(2, '0')}:${String((value % 4) * 15).padStart(2, '0')}`
  const window = fc.record({
    days: fc.subarray([...DAYS], { minLength: 1 }),
    from: quarter.map(time),
    to: quarter.map(time),
    wanUpBytesPerSecond: fc.nat(),
  })
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      fc.array(window, { maxLength: 4 }),
      fc.integer({ min: at('2026-01-01T00:00Z'), max: at('2027-12-31T00:00Z') }),
      (timeZone, windows, nowMs) => {
        const schedule = SCHEDULE.parse({ timeZone, windows })
        const next = nextChangeMs(schedule, nowMs)
        const current = windowAt(schedule, nowMs)
        const until = next ?? nowMs + 7 * 86_400_000
        for (let i = 1; i <= 20; i++) {
          const between = nowMs + Math.floor(((until - 1 - nowMs) * i) / 20)
          assert.equal(windowAt(schedule, between), current)
        }
        if (next !== undefined) assert.notEqual(windowAt(schedule, next), current)
        for (const each of schedule.windows) assert.deepEqual(parseWindow(formatWindow(each)), each)
      },
    ),
    { numRuns: 150 },
  )
})

test('caps follow the schedule by the clock, go back to what is set, and are told once', async (t) => {
  const dir = await tempDir(t)
  const file = join(dir, 'limits.json')
  const config = await loadConfig({ file: join(dir, 'none'), env: {}, flags: { limitSchedule: PRAGUE } })
  const told: number[] = []
  const clock = new VirtualClock(at('2026-01-09T06:58Z'))
  const load = () => loadLimits({ file, config, clock, onChange: ({ wan }) => told.push(wan.up) })
  const limits = await load()
  limits.start()
  await limits.change({ wanUpBytesPerSecond: 9 })
  assert.deepEqual(told, [9])
  clock.advanceTo(at('2026-01-09T07:01Z'))
  assert.deepEqual(told, [9, 2])
  assert.deepEqual(limits.read().wanUpBytesPerSecond, {
    value: 2,
    from: 'schedule',
    configured: 0,
    otherwise: 9,
  })
  const { schedule } = limits.read()
  assert.deepEqual(
    [schedule?.active, schedule?.from, schedule?.untilMs],
    [0, 'config', at('2026-01-09T17:00Z')],
  )
  const before = JSON.stringify(limits.said())
  clock.advanceTo(at('2026-01-09T17:01Z'))
  assert.deepEqual(told, [9, 2, 9])
  assert.equal(JSON.stringify(limits.said()), before, "a change of the time is nobody else's change")
  await limits.change({
    schedule: {
      timeZone: 'UTC',
      windows: [{ days: ['fri'], from: '00:00', to: '24:00', wanUpBytesPerSecond: 5 }],
    },
  })
  assert.deepEqual(told, [9, 2, 9, 5])
  limits.stop()
  const again = await load()
  assert.equal(again.caps().wan.up, 5)
  await again.change({ schedule: null })
  assert.equal(again.read().schedule?.timeZone, 'Europe/Prague')
  assert.equal(again.caps().wan.up, 9)
  for (const wrong of [
    { timeZone: 'Europe/Nowhere', windows: [] },
    { timeZone: 'UTC', windows: [{ from: '08:10', to: '09:00', wanUpBytesPerSecond: 1 }] },
    { timeZone: 'UTC', windows: [{ from: '08:00', to: '09:00' }] },
  ]) {
    assert.equal(SCHEDULE.safeParse(wrong).success, false)
  }
})
