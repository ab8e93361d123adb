/** Many regions in the simulator: each segment leaves the origin's region once, and the others feed each other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { evenPages, type Simulation, type SimulationResult, simulate } from '../../topology/simulator.ts'

const MB = 1_000_000
const KBIT = 25_000
const BYTES_PER_SECOND = (KBIT * 1000) / 8
const BYTES = 40 * MB
/** All of it through one pipe. */
const BOUND_MS = (1000 * BYTES) / BYTES_PER_SECOND

const regionName = (number: number): string => `r${String(number).padStart(2, '0')}`

/** The origin and `perRegion` sites in the first region, as many in each of the others; every pipe has the same rate. */
function mesh({ regions = 3, perRegion = 3, relays = 3 }): Pick<Simulation, 'sites' | 'topology'> {
  const names = Array.from({ length: regions }, (_, number) => regionName(number))
  return {
    sites: [
      { site: 'hq', region: names[0]!, isOrigin: true },
      ...names.flatMap((region, number) =>
        Array.from({ length: number === 0 ? relays : perRegion }, (_, i) => ({
          site: `${region}-${i + 1}`,
          region,
        })),
      ),
    ],
    topology: {
      regions: names.map((region) => ({ region, upKbit: KBIT, downKbit: KBIT })),
      sites: [{ site: 'hq', upKbit: KBIT, downKbit: KBIT }],
      paths: [],
    },
  }
}

function run(
  shape: Parameters<typeof mesh>[0],
  more: Partial<Simulation> = {},
): SimulationResult & { lastMs: number; egress: number } {
  const result = simulate({
    ...mesh(shape),
    pages: evenPages(BYTES, 65_536),
    lanBytesPerSecond: 125 * MB,
    wanRttMs: 100,
    limitMs: 600_000,
    ...more,
  })
  const times = [...result.sites.values()].filter(({ isAlive }) => isAlive).map(({ doneMs }) => doneMs)
  return {
    ...result,
    lastMs: Math.max(...times.map((doneMs) => doneMs ?? Number.POSITIVE_INFINITY)),
    egress: result.originBytesSent / result.snapshotBytes,
  }
}

const shareOf = (bytes: ReadonlyMap<string, number>, region: string, { snapshotBytes }: SimulationResult) =>
  (bytes.get(region) ?? 0) / snapshotBytes

function duplicateShare({ sites, blocks }: SimulationResult): number {
  return [...sites.values()].reduce((sum, site) => sum + site.duplicateBlocks, 0) / blocks
}

for (const regions of [2, 3, 8]) {
  test(`${regions} regions: one copy leaves the origin, one enters each region, none carries more than one up`, () => {
    const result = run({ regions })
    assert.ok(result.lastMs < 1.15 * BOUND_MS, `${result.lastMs / BOUND_MS} times the bound`)
    assert.ok(result.egress <= 1.02, `${result.egress} copies left the origin`)
    assert.ok(duplicateShare(result) <= 0.005)
    for (let number = 1; number < regions; number++)
      assert.ok(shareOf(result.wanBytesInto, regionName(number), result) <= 1.02)
    for (let number = 0; number < regions; number++)
      assert.ok(shareOf(result.wanBytesOutOf, regionName(number), result) <= 1.05)
  })
}

test('a site takes what comes from another region from one site there', () => {
  const { sites } = run({})
  for (const [site, { bytesFrom, wanBytes }] of sites) {
    if (site === 'hq' || site.startsWith('r00')) continue
    let partnersBytes = 0
    for (const [from, bytes] of bytesFrom)
      if (from.slice(0, 3) !== site.slice(0, 3) && from.endsWith(site.slice(3))) partnersBytes += bytes
    assert.ok(partnersBytes > 0.9 * wanBytes, `${site}: ${partnersBytes} of ${wanBytes} bytes`)
  }
})

test('without other sites in its region the origin itself gives each segment to one region', () => {
  const result = run({ relays: 0 })
  assert.ok(result.lastMs < 1.15 * BOUND_MS, `${result.lastMs / BOUND_MS} times the bound`)
  assert.ok(result.egress <= 1.02, `${result.egress} copies left the origin`)
})

test('a region that is cut off in mid-fetch does not hold up the others, and catches up by itself', () => {
  const between = ['region:r01', undefined] as const
  const result = run(
    {},
    {
      events: [
        { atMs: 0.3 * BOUND_MS, kind: 'cut', between },
        { atMs: 2 * BOUND_MS, kind: 'heal', between },
      ],
    },
  )
  for (const site of ['r02-1', 'r02-2', 'r02-3'])
    assert.ok(
      result.sites.get(site)!.doneMs! < 2 * BOUND_MS,
      `${site} waited for the region that was cut off`,
    )
  assert.ok(result.lastMs < 3.5 * BOUND_MS, `${result.lastMs / BOUND_MS} times the bound`)
  assert.ok(duplicateShare(result) <= 0.02)
})

test('a site that relays in the origin’s region, or owns segments elsewhere, may die in mid-fetch', () => {
  for (const site of ['r00-2', 'r01-1']) {
    const result = run({}, { events: [{ atMs: 0.4 * BOUND_MS, kind: 'kill', site }] })
    assert.ok(result.lastMs < 1.6 * BOUND_MS, `${site}: ${result.lastMs / BOUND_MS} times the bound`)
    assert.ok(result.egress <= 1.1, `${site}: ${result.egress} copies left the origin`)
    assert.ok(duplicateShare(result) <= 0.02)
  }
})

test('the origin may die as soon as one copy is out in the mesh as a whole', () => {
  const result = run({}, { events: [{ atMs: 1.02 * BOUND_MS, kind: 'kill', site: 'hq' }] })
  assert.ok(Number.isFinite(result.lastMs), 'some site is not complete')
})

test('a site that joins later takes nothing from the origin', () => {
  const shape = mesh({})
  const late = { site: 'r01-9', region: 'r01', joinsMs: 1.5 * BOUND_MS }
  const result = run({}, { sites: [...shape.sites, late] })
  assert.ok(Number.isFinite(result.sites.get('r01-9')!.doneMs!))
  assert.ok(result.egress <= 1.02, `${result.egress} copies left the origin`)
})

test('a slow region that nobody declared holds up the others for a while, not for its own time', () => {
  const names = ['apac', 'eu', 'sa', 'us']
  const wide = { upKbit: 100_000, downKbit: 100_000 }
  const narrow = { upKbit: 20_000, downKbit: 20_000 }
  const result = simulate({
    sites: [
      { site: 'hq', region: 'us', isOrigin: true },
      ...['eu', 'sa', 'apac'].flatMap((region) => [1, 2].map((i) => ({ site: `${region}-${i}`, region }))),
    ],
    topology: {
      regions: names.map((region) => ({ region, ...(region === 'apac' ? narrow : wide) })),
      sites: [],
      paths: [],
    },
    isUndeclared: true,
    pages: evenPages(100 * MB, 65_536),
    lanBytesPerSecond: 125 * MB,
    wanRttMs: 80,
    limitMs: 600_000,
  })
  const lastMs = (region: string): number =>
    Math.max(...[1, 2].map((i) => result.sites.get(`${region}-${i}`)!.doneMs ?? Number.POSITIVE_INFINITY))
  // 8 s are the bound of a wide one, 40 s of the narrow one; one segment at a time took 20 s.
  for (const region of ['eu', 'sa']) assert.ok(lastMs(region) < 15_000, `${region}: ${lastMs(region)} ms`)
  assert.ok(lastMs('apac') < 43_000, `apac: ${lastMs('apac')} ms`)
  // What they take in its place leaves the origin once for all of them.
  assert.ok(result.originBytesSent < 1.05 * result.snapshotBytes, `${result.originBytesSent} bytes`)
})

test('a branch office beside the origin does not set the pace of the other regions', () => {
  const { sites, topology } = mesh({ relays: 1 })
  const branch = { site: 'r00-1', upKbit: KBIT / 10, downKbit: KBIT / 10 }
  const narrow = { ...topology!, sites: [...topology!.sites, branch] }
  const result = run({}, { sites, topology: narrow })
  for (const { site, region } of sites.filter(({ isOrigin }) => isOrigin !== true)) {
    const boundMs = region === 'r00' ? 10 * BOUND_MS : BOUND_MS
    const { doneMs = Number.POSITIVE_INFINITY } = result.sites.get(site)!
    assert.ok(doneMs < 1.2 * boundMs, `${site}: ${doneMs / boundMs} times its bound`)
  }
  // What it comes to before the other regions do leaves the origin for it, too.
  assert.ok(result.egress <= 1.05, `${result.egress} copies left the origin`)

  // Whoever comes when only the two of that region are left is not held up either.
  const late = { site: 'r01-1', region: 'r01', joinsMs: 12 * BOUND_MS }
  const alone = run(
    {},
    { sites: [...sites.filter(({ region }) => region === 'r00'), late], topology: narrow },
  )
  const tookMs = (alone.sites.get('r01-1')!.doneMs ?? Number.POSITIVE_INFINITY) - late.joinsMs
  assert.ok(tookMs < 1.2 * BOUND_MS, `the late one took ${tookMs / BOUND_MS} times the bound`)
})
