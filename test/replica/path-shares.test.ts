import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createPathShares, type PathShare } from '../../src/replica/scheduler/path-shares.ts'
import { createScheduler } from '../../src/replica/scheduler/scheduler.ts'
import type { SchedulerEvent } from '../../src/replica/scheduler/types.ts'

const KiB = 1024
const MiB = 1024 * KiB
const BLOCK = 64 * KiB
const FLOOR = 64 * KiB

interface FetchSpec {
  readonly blocks: number
  readonly startsMs?: number
  readonly weight?: number
}

/**
 * Fetches of one node, all from one far site, over one path: first in, first out, at a rate, and a round trip away.
 * Returns what each of them received by each half second, when it was done, and the most that was in flight.
 */
function run(specs: readonly FetchSpec[], { bytesPerMs = 3000, rttMs = 100, storeMs = 0 } = {}) {
  const paths = createPathShares()
  const fetches = specs.map(({ blocks, startsMs = 0, weight = 1 }) => ({
    blocks,
    startsMs,
    scheduler: createScheduler({
      self: { site: 'me', region: 'west' },
      snapshotBytes: blocks * BLOCK,
      paths,
      pathWeight: weight,
    }),
    isStarted: false,
    received: [] as number[],
    got: 0,
    dueBytes: 0,
    wakeMs: Number.POSITIVE_INFINITY,
    doneMs: undefined as number | undefined,
  }))
  const arrivals: { atMs: number; of: number; request: number; offset: number }[] = []
  let freeMs = 0
  let mostInFlight = 0
  let mostLimit = 0
  for (let nowMs = 0; nowMs < 120_000 && fetches.some(({ doneMs }) => doneMs === undefined); nowMs++) {
    for (const [of, fetch] of fetches.entries()) {
      const events: SchedulerEvent[] = []
      if (!fetch.isStarted && nowMs >= fetch.startsMs) {
        fetch.isStarted = true
        const lengths = Array.from({ length: fetch.blocks }, () => BLOCK)
        events.push(
          {
            kind: 'peer',
            peer: 'hq',
            place: { site: 'hq', region: 'east' },
            wants: false,
            isConnected: true,
          },
          { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
          { kind: 'page', page: 0, key: new Uint8Array(32), lengths, has: lengths.map(() => false) },
          { kind: 'pages-end' },
        )
      }
      for (let at = 0; at < arrivals.length && arrivals[at]!.atMs <= nowMs; ) {
        if (arrivals[at]!.of !== of) {
          at++
          continue
        }
        const { request, offset } = arrivals.splice(at, 1)[0]!
        fetch.got++
        fetch.dueBytes -= BLOCK
        events.push({ kind: 'received', request, page: 0, offset, handledMs: storeMs })
      }
      if (events.length === 0 && nowMs >= fetch.wakeMs) events.push({ kind: 'tick' })
      if (events.length === 0 || fetch.doneMs !== undefined) continue
      for (const command of fetch.scheduler.handle(events, nowMs)) {
        if (command.kind === 'wake') fetch.wakeMs = command.atMs
        else if (command.kind === 'complete') {
          fetch.doneMs = nowMs
          fetch.scheduler.close()
        } else if (command.kind === 'request') {
          for (const offset of command.offsets) {
            freeMs = Math.max(freeMs, nowMs + rttMs) + BLOCK / bytesPerMs
            arrivals.push({ atMs: freeMs + storeMs, of, request: command.request, offset })
            fetch.dueBytes += BLOCK
          }
        }
      }
      const [peer] = fetch.scheduler.explain(nowMs).peers
      mostLimit = Math.max(mostLimit, peer?.pathPipelineBytes ?? 0)
    }
    mostInFlight = Math.max(
      mostInFlight,
      fetches.reduce((sum, { dueBytes }) => sum + dueBytes, 0),
    )
    if (nowMs % 500 === 499) for (const fetch of fetches) fetch.received.push(fetch.got)
  }
  return { fetches, mostInFlight, mostLimit }
}

test('two fetches over one path share it evenly, and what is in flight does not double', () => {
  const { fetches, mostInFlight, mostLimit } = run([{ blocks: 400 }, { blocks: 400, startsMs: 2000 }])
  const [one, two] = fetches
  const between = (fetch: typeof one, from: number, to: number): number =>
    fetch!.received[to]! - fetch!.received[from]!
  // From 3 s to 9 s both are at it.
  const [a, b] = [between(one, 5, 17), between(two, 5, 17)]
  assert.ok(a > 0.4 * (a + b) && b > 0.4 * (a + b), `${a} and ${b} blocks`)
  assert.ok((a + b) * BLOCK > 0.95 * 3000 * 6000, 'together they fill the path')
  assert.ok(mostInFlight <= mostLimit + 2 * (FLOOR + BLOCK), `${mostInFlight} of ${mostLimit} bytes`)
})

test('one alone has all of the path, and again when the other is done', () => {
  const alone = run([{ blocks: 400 }]).fetches[0]!.doneMs!
  assert.ok(alone < 1.15 * ((400 * BLOCK) / 3000), `${alone} ms`)
  const { fetches } = run([{ blocks: 400 }, { blocks: 50, startsMs: 2000 }])
  const bound = (450 * BLOCK) / 3000
  assert.ok(fetches[0]!.doneMs! < 1.15 * bound, `${fetches[0]!.doneMs} ms, bound ${bound}`)
  assert.ok(fetches[1]!.doneMs! < 2000 + 3 * ((50 * BLOCK) / 3000))
})

test('a disk that takes as long as the path does not halve the rate of a long one', () => {
  // 300 Mbit/s at 150 ms.
  const { fetches } = run([{ blocks: 4000 }], { bytesPerMs: 37_500, rttMs: 150, storeMs: 150 })
  const { received } = fetches[0]!
  const perSecond = ((received[12]! - received[8]!) * BLOCK) / 2
  assert.ok(perSecond > 0.97 * 37_500_000, `${perSecond} bytes a second`)
})

test('shares follow the weights, and the light one is not starved', () => {
  const { fetches } = run([
    { blocks: 600, weight: 4 },
    { blocks: 600, weight: 1 },
  ])
  const [heavy, light] = fetches.map(({ received }) => received[15]! - received[3]!)
  assert.ok(heavy! > 2.5 * light! && light! > 0.1 * heavy!, `${heavy} and ${light} blocks`)
})

test('any fetches: the path is never overfilled, all of it is used, and nobody is without a share', () => {
  const fetch = fc.record({
    inFlight: fc.integer({ min: 0, max: 8 * MiB }),
    wantsMore: fc.boolean(),
    weight: fc.integer({ min: 1, max: 8 }),
  })
  const bounds = { minPipelineBytes: 4 * MiB, maxPipelineBytes: 4 * MiB }
  fc.assert(
    fc.property(fc.array(fetch, { minLength: 1, maxLength: 6 }), (specs) => {
      const paths = createPathShares()
      const inFlight = specs.map((spec) => spec.inFlight)
      const shares: PathShare[] = specs.map(({ wantsMore, weight }, i) =>
        paths.join({ inFlightBytes: () => inFlight[i]!, wantsMore: () => wantsMore }, bounds, weight),
      )
      const wanting = specs.flatMap(({ wantsMore }, i) => (wantsMore ? [i] : []))
      const total = (): number => inFlight.reduce((sum, bytes) => sum + bytes, 0)
      const before = total()
      // Each fills what it may; what is over its limit drains. After some rounds all are where they should be.
      for (let round = 0; round < 40; round++)
        for (const i of wanting) {
          const { bytes } = shares[i]!.limit('hq')
          assert.ok(bytes >= FLOOR)
          inFlight[i] = inFlight[i]! > bytes ? Math.max(bytes, inFlight[i]! * 0.7) : bytes
          assert.ok(total() <= Math.max(before, 4 * MiB) + specs.length * FLOOR)
        }
      const idle = specs.reduce((sum, spec) => sum + (spec.wantsMore ? 0 : spec.inFlight), 0)
      if (wanting.length > 0 && idle < 3 * MiB) assert.ok(total() >= 4 * MiB * 0.99, `${total()} bytes`)
      const weights = wanting.reduce((sum, i) => sum + specs[i]!.weight, 0)
      for (const i of wanting) {
        const fair = (Math.max(0, 4 * MiB - idle) * specs[i]!.weight) / weights
        assert.ok(inFlight[i]! >= Math.min(fair, FLOOR) * 0.99 && inFlight[i]! <= fair * 1.01 + FLOOR)
      }
    }),
    { numRuns: 300 },
  )
})
