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

const [eu2, us] = [
  { site: 'eu-2', region: 'eu' },
  { site: 'us-1', region: 'us' },
]

test('a site that is killed and comes back keeps what it had, and completes', () => {
  const result = run({
    sites: [hq, eu, eu2],
    events: [
      { atMs: 2000, kind: 'kill', site: 'eu-1' },
      { atMs: 4000, kind: 'restart', site: 'eu-1' },
    ],
  })
  assert.ok(seconds(result, 'eu-1') < 9 && seconds(result, 'eu-2') < 9)
  const taken = [...result.sites.get('eu-1')!.bytesFrom.values()].reduce((sum, bytes) => sum + bytes, 0)
  assert.ok(taken < 1.01 * result.snapshotBytes, `${taken} bytes`)
})

test('a region that is cut off waits, and catches up by itself', () => {
  const cut = { atMs: 1000, kind: 'cut', between: ['region:eu', undefined] } as const
  const short = run({ sites: [hq, eu, eu2, us], events: [cut, { ...cut, atMs: 6000, kind: 'heal' }] })
  assert.ok(seconds(short, 'us-1') < 5)
  assert.ok(seconds(short, 'eu-1') > 10 && seconds(short, 'eu-1') < 18, `${seconds(short, 'eu-1')} s`)
  // Long enough for the connections to end, and be made anew.
  const long = run({ sites: [hq, eu, eu2, us], events: [cut, { ...cut, atMs: 60_000, kind: 'heal' }] })
  assert.ok(seconds(long, 'eu-2') > 60 && seconds(long, 'eu-2') < 70, `${seconds(long, 'eu-2')} s`)
  const never = run({ sites: [hq, eu, us], events: [cut], limitMs: 200_000 })
  assert.equal(never.sites.get('eu-1')!.doneMs, undefined)
  assert.ok(seconds(never, 'us-1') < 5)
})

test('two sites that are cut off from each other alone get it from the others', () => {
  const events = [{ atMs: 500, kind: 'cut', between: ['eu-1', 'hq'] }] as const
  const result = run({ sites: [hq, eu, eu2], events })
  assert.ok(seconds(result, 'eu-1') < 40, `${seconds(result, 'eu-1')} s`)
})

test('a link that becomes slow slows what it carries', () => {
  const events = [{ atMs: 2000, kind: 'rate', site: 'eu-1', downBytesPerSecond: MB }] as const
  // 20 MB in two seconds at 80 Mbit/s, the other 30 at 1 MB/s.
  const result = run({ events })
  assert.ok(seconds(result, 'eu-1') > 29 && seconds(result, 'eu-1') < 35, `${seconds(result, 'eu-1')} s`)
})

test('a late member is unknown before, and takes what its region holds', () => {
  const result = run({ sites: [hq, eu, { ...eu2, joinsMs: 20_000 }] })
  assert.equal(result.sites.get('eu-2')!.bytesFrom.get('hq') ?? 0, 0)
  assert.ok(seconds(result, 'eu-2') > 20 && seconds(result, 'eu-2') < 22)
})

test('a site that was away for many snapshots takes from its region what it lacks, and no more', () => {
  const away = { ...eu2, holdsPercent: 90, startsMs: 20_000 }
  const result = run({ sites: [hq, eu, away] })
  const taken = [...result.sites.get('eu-2')!.bytesFrom.values()].reduce((sum, bytes) => sum + bytes, 0)
  assert.ok(seconds(result, 'eu-2') < 22 && taken < 0.11 * result.snapshotBytes, `${taken} bytes`)
  assert.equal(result.originBlocksSentMoreThanOnce, 0)
})

test('an origin that cannot be dialled, and a whole region of such sites beside reachable ones', () => {
  const behindNat = (...sites: string[]): Topology => ({
    ...topology,
    sites: [
      ...topology.sites.filter(({ site }) => !sites.includes(site)),
      ...sites.map((site) => ({ site, isReachable: false })),
    ],
  })
  const origin = run({ topology: behindNat('hq'), sites: [hq, eu, eu2, us] })
  for (const site of ['eu-1', 'eu-2', 'us-1']) assert.ok(seconds(origin, site) < 8, site)
  assert.equal(origin.originBlocksSentMoreThanOnce, 0)
  const apac2 = { site: 'apac-2', region: 'apac' }
  const region = run({ topology: behindNat('apac-1', 'apac-2'), sites: [hq, eu, apac, apac2] })
  for (const site of ['apac-1', 'apac-2']) assert.ok(seconds(region, site) < 24, site)
  assert.ok(region.wanBytesInto.get('apac')! < 1.02 * region.snapshotBytes)
})

test('a simulation is the same each time', () => {
  const once = (): unknown => {
    const { schedulerSeconds: _, sites, ...rest } = run({ sites: [hq, eu, eu2, apac, us] })
    return [rest, [...sites.values()].map(({ doneMs, bytesFrom }) => [doneMs, [...bytesFrom]])]
  }
  assert.deepEqual(once(), once())
})

test('a site that begins to lie is blamed, one that begins to stall is passed over', () => {
  const result = run({
    sites: [hq, eu, eu2, { site: 'eu-3', region: 'eu' }],
    events: [
      { atMs: 500, kind: 'lie', site: 'eu-2' },
      { atMs: 500, kind: 'stall', site: 'eu-3' },
    ],
  })
  assert.deepEqual(result.sites.get('eu-1')!.blamed, ['eu-2'])
  assert.deepEqual(result.sites.get('eu-2')!.blamed, [])
  for (const site of ['eu-1', 'eu-2', 'eu-3']) assert.ok(seconds(result, site) < 60, site)
})

test('a hundred sites in ten regions: one copy leaves the origin, and one enters each region', () => {
  const sites = Array.from({ length: 100 }, (_, i) => ({ site: `r${i % 10}-${i}`, region: `r${i % 10}` }))
  const pipes = Array.from({ length: 10 }, (_, i) => ({
    region: `r${i}`,
    upKbit: 100_000,
    downKbit: 100_000,
  }))
  const result = run({
    sites: [{ ...sites[0]!, isOrigin: true }, ...sites.slice(1)],
    topology: { regions: pipes, sites: [{ site: 'r0-0', upKbit: 100_000 }], paths: [] },
    pages: evenPages(4 * MB, 65_536),
    gatherMs: 5,
  })
  for (const { site } of sites.slice(1)) seconds(result, site)
  assert.ok(result.originBytesSent < 1.1 * result.snapshotBytes, `${result.originBytesSent}`)
  for (const [region, bytes] of result.wanBytesInto)
    assert.ok(bytes < 1.1 * result.snapshotBytes, `${region}: ${bytes}`)
})

const behindRouters: Topology = {
  regions: [
    { region: 'dc', upKbit: 200_000, downKbit: 200_000 },
    { region: 'field', upKbit: 20_000, downKbit: 40_000 },
    { region: 'us', upKbit: 50_000, downKbit: 50_000 },
  ],
  sites: [
    { site: 'field-1', isReachable: false },
    { site: 'field-2', isReachable: false },
    { site: 'hq', isReachable: false },
  ],
  paths: [],
}
const field = ['field-1', 'field-2'].map((site) => ({ site, region: 'field' }))
const dc = ['dc-1', 'dc-2'].map((site) => ({ site, region: 'dc' }))

test('sites that cannot dial each other exchange through a member, whose links carry it too', () => {
  const result = run({ sites: [hq, ...field, ...dc], topology: behindRouters })
  for (const { site } of [...field, ...dc]) assert.ok(seconds(result, site) < 1.2 * 10, site)
  assert.ok(result.relayedBytes > 0)
  // The relays' region takes in its own copy, and what it passes on.
  assert.ok(result.wanBytesInto.get('dc')! >= result.snapshotBytes + 0.9 * result.relayedBytes)
  assert.ok(result.originBlocksSentMoreThanOnce <= 0.02 * result.blocks)
})

test('without a member that can be dialled they do not reach each other', () => {
  const result = run({ sites: [hq, ...field], topology: behindRouters, limitMs: 60_000 })
  for (const { site } of field) assert.equal(result.sites.get(site)!.doneMs, undefined)
  assert.equal(result.originBytesSent, 0)
})

test('a relay that dies is replaced by another', () => {
  const only = dc.map((site, i) => ({ ...site, holdsPercent: 0, ...(i === 0 ? { diesMs: 3000 } : {}) }))
  for (const dying of [only, [...only].reverse()]) {
    const result = run({ sites: [hq, ...field, ...dying], topology: behindRouters })
    for (const { site } of field) assert.ok(seconds(result, site) < 20, `${site}: ${seconds(result, site)} s`)
  }
})

test('with processors that all sites share, blocks take their time', () => {
  const lan = { topology: { regions: [], sites: [], paths: [] }, pages: evenPages(20 * MB, 5000) }
  const free = run(lan)
  const result = run({ ...lan, processors: { count: 2, blockMs: 2 } })
  // 4,000 blocks of 2 ms on two processors.
  assert.ok(seconds(free, 'eu-1') < 2)
  assert.ok(seconds(result, 'eu-1') >= 4 && seconds(result, 'eu-1') < 4.6, `${seconds(result, 'eu-1')} s`)
})

test('a site with a narrow pipe of its own takes little of its region’s share', () => {
  const narrow: Topology = {
    regions: [{ region: 'eu', upKbit: 100_000, downKbit: 100_000 }],
    sites: [{ site: 'eu-2', upKbit: 5000, downKbit: 20_000 }],
    paths: [],
  }
  const result = run({ sites: [hq, eu, { site: 'eu-2', region: 'eu' }], topology: narrow })
  // 50 MB through 100 Mbit/s, and through the narrow one's 20.
  assert.ok(seconds(result, 'eu-1') < 1.3 * 4, `${seconds(result, 'eu-1')} s`)
  assert.ok(seconds(result, 'eu-2') < 1.15 * 20)
})
