/** Nodes whose processes do not always run, as on a machine with too much to do: simulated. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimulatedEvent, SimulatedSite, SimulationResult } from '../../topology/simulator.ts'
import { evenPages, simulate } from '../../topology/simulator.ts'

const MBIT = 125_000
const sites: readonly SimulatedSite[] = [
  { site: 'hq', region: 'us', isOrigin: true },
  ...['us', 'eu', 'apac'].flatMap((region) =>
    [1, 2, 3].map((number) => ({ site: `${region}-${number}`, region })),
  ),
]

/** Each site runs for a moment and then does not for another, at times of its own, over `forMs` in all. */
function pauses(
  seed: number,
  { runMs, pauseMs, forMs }: { runMs: number; pauseMs: number; forMs: number },
): SimulatedEvent[] {
  let state = seed
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  return sites.flatMap(({ site }) => {
    const events: SimulatedEvent[] = []
    for (let atMs = next() * pauseMs; atMs < forMs; ) {
      const length = Math.round(pauseMs * (0.5 + next()))
      events.push({ atMs, kind: 'pause', site, forMs: length })
      atMs += length + runMs * (0.5 + next())
    }
    return events
  })
}

function run(events: readonly SimulatedEvent[], hidesPauses = false): SimulationResult {
  return simulate({
    sites,
    pages: evenPages(64_000_000, 16 * 1024),
    wanBytesPerSecond: 25 * MBIT,
    lanBytesPerSecond: 1000 * MBIT,
    wanRttMs: 80,
    limitMs: 900_000,
    events,
    hidesPauses,
  })
}

/** What travelled and was not needed: within regions, and into them over the WAN. */
function assertOnce(result: SimulationResult): void {
  const { blocks, blocksSent, blocksSentInVain, snapshotBytes, wanBytesInto } = result
  let extra = blocksSentInVain
  for (const bytes of wanBytesInto.values()) extra += Math.max(0, (bytes / snapshotBytes - 1) * blocks)
  assert.ok(extra <= 0.005 * blocksSent, `${extra} of ${blocksSent} blocks need not have been sent`)
}

const lastMs = (result: SimulationResult, but?: string): number =>
  Math.max(
    ...sites
      .filter(({ site }) => site !== but)
      .map(({ site }) => result.sites.get(site)!.doneMs ?? Number.POSITIVE_INFINITY),
  )

const SHORT_OF_PROCESSORS = { runMs: 150, pauseMs: 600, forMs: 300_000 }
const STOPPED_FOR_SECONDS = { runMs: 1500, pauseMs: 3000, forMs: 300_000 }

test('all nodes slowed down evenly: no lease ends for it, and next to nothing travels twice', () => {
  for (const load of [SHORT_OF_PROCESSORS, STOPPED_FOR_SECONDS])
    for (const seed of [1, 2, 3]) {
      const result = run(pauses(seed, load))
      assert.ok(lastMs(result) < 100_000, `${lastMs(result)} ms`)
      assertOnce(result)
    }
})

test('without knowing that they are held up, the same nodes take each other for dead', () => {
  const { snapshotBytes, wanBytesInto } = run(pauses(1, STOPPED_FOR_SECONDS), true)
  assert.ok(Math.max(...wanBytesInto.values()) > 1.2 * snapshotBytes)
})

test('an owner that stops for good is replaced in time, however slow the others are', () => {
  for (const load of [SHORT_OF_PROCESSORS, STOPPED_FOR_SECONDS]) {
    const events = pauses(1, load)
    const all = lastMs(run(events))
    const others = events.filter((event) => !('site' in event && event.site === 'eu-2'))
    const result = run([...others, { atMs: 5000, kind: 'pause', site: 'eu-2', forMs: 600_000 }])
    const [eu1, eu3] = ['eu-1', 'eu-3'].map((site) => result.sites.get(site)!.doneMs)
    assert.ok(eu1 !== undefined && eu1 < 1.5 * all, `${eu1} ms, ${all} ms with everybody`)
    assert.ok(eu3 !== undefined && eu3 < 1.5 * all, `${eu3} ms, ${all} ms with everybody`)
    assert.ok(lastMs(result, 'eu-2') < 1.5 * all, `${lastMs(result, 'eu-2')} ms, ${all} ms with everybody`)
  }
})
