/** The simulator itself: that its links have the rates and round trips that a topology gives them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Topology } from '../../src/topology/topology.ts'
import { evenPages, type Simulation, type SimulationResult, simulate } from '../../topology/simulator.ts'

const MB = 1_000_000

const topology: Topology = {
  regions: [
    { region: 'apac', upKbit: 40_000, downKbit: 20_000 },
    { region: 'eu', upKbit: 100_000, downKbit: 80_000 },
    { region: 'us', upKbit: 160_000, downKbit: 160_000 },
  ],
  sites: [{ site: 'hq', upKbit: 400_000, downKbit: 400_000 }],
  paths: [
    { between: ['region:apac', 'region:us'], rttMs: 200 },
    { between: ['region:eu', 'region:us'], rttMs: 60 },
  ],
}

const hq = { site: 'hq', region: 'us', isOrigin: true }
const eu = { site: 'eu-1', region: 'eu' }
const apac = { site: 'apac-1', region: 'apac' }

function run(more: Partial<Simulation>): SimulationResult {
  return simulate({
    sites: [hq, eu],
    pages: evenPages(50 * MB, 65_536),
    topology,
    lanBytesPerSecond: 125 * MB,
    wanRttMs: 80,
    limitMs: 3_600_000,
    ...more,
  })
}

function seconds(result: SimulationResult, site: string): number {
  const { doneMs } = result.sites.get(site)!
  assert.notEqual(doneMs, undefined, `${site} is not complete`)
  return doneMs! / 1000
}

test('one site takes as long as the narrowest pipe needs, and little more', () => {
  const result = run({})
  // 50 MB through 80 Mbit/s.
  assert.ok(seconds(result, 'eu-1') >= 5 && seconds(result, 'eu-1') < 5.6, `${seconds(result, 'eu-1')} s`)
  assert.equal(result.originBlocksSentMoreThanOnce, 0)
  assert.equal(result.wanBytesInto.get('eu'), result.snapshotBytes)
  assert.equal(result.wanBytesOutOf.get('us'), result.snapshotBytes)
})

test('each region has its own rate, in each direction', () => {
  const result = run({ sites: [hq, eu, apac] })
  assert.ok(seconds(result, 'apac-1') >= 20 && seconds(result, 'apac-1') < 23)
  assert.ok(seconds(result, 'eu-1') < 6.5, `${seconds(result, 'eu-1')} s`)
})

test('a path of two sites has its own rate and round trip', () => {
  const slow: Topology = {
    ...topology,
    paths: [{ between: ['eu-1', 'hq'], kbit: 10_000, rttMs: 300 }, ...topology.paths],
  }
  const result = run({ topology: slow })
  assert.ok(seconds(result, 'eu-1') >= 40 && seconds(result, 'eu-1') < 42)
})

test('headers take their part of the rate', () => {
  const [plain, wrapped] = [seconds(run({}), 'eu-1'), seconds(run({ overhead: 1.1 }), 'eu-1')]
  assert.ok(wrapped / plain > 1.07 && wrapped / plain < 1.13, `${plain} s and ${wrapped} s`)
})

test('what several sources send to one region shares its pipe, and passes it once', () => {
  const sites = [hq, eu, apac, { site: 'eu-2', region: 'eu' }, { site: 'apac-2', region: 'apac' }]
  const result = run({ sites })
  for (const region of ['eu', 'apac'])
    assert.ok(result.wanBytesInto.get(region)! < 1.02 * result.snapshotBytes, region)
  assert.ok(seconds(result, 'apac-2') < 23 && seconds(result, 'eu-2') < 7)
})
