/** Topology files: units, names, and messages that say where the fault is. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTopologyFile, readTopologyFile } from '../../node/topology/read-file.ts'
import { formatMeasuredRate, formatRate, parseMs, parseRate } from '../../node/topology/units.ts'
import { topologyText } from '../../node/topology/write-file.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import {
  comparePaths,
  decodeTopology,
  MAX_KBIT,
  type PathLink,
  pathBetween,
  regionEnd,
  regionRate,
  siteLink,
} from '../../src/topology/topology.ts'

const examples = join(import.meta.dirname, '../../topology')

test('rates and times are read as people write them', () => {
  for (const [text, kbit] of [
    ['25 Mbit/s', 25_000],
    ['25Mbit', 25_000],
    ['1.5 Gbit/s', 1_500_000],
    ['512 kbit/s', 512],
    ['10 Mbps', 10_000],
    [100, 100_000],
    [0.25, 250],
  ] as const)
    assert.equal(parseRate(text), kbit, String(text))
  for (const bad of ['25', '25 MB/s', 'fast', '25 mbit/s', '-1 Mbit/s', 0, '0 Mbit/s', Number.NaN, null, ''])
    assert.equal(parseRate(bad), undefined, String(bad))
  assert.deepEqual(['160 ms', '0.5 s', '2 min', 40].map(parseMs), [160, 500, 120_000, 40])
  for (const bad of ['160', '5 days', -1, true]) assert.equal(parseMs(bad), undefined, String(bad))
  for (const kbit of [1, 999, 1000, 1500, 25_000, 1_000_001]) assert.equal(parseRate(formatRate(kbit)), kbit)
  assert.equal(formatMeasuredRate(3_141_592), '25.1 Mbit/s')
})

test('names in paths are found among sites and regions', () => {
  const { topology, regionOf } = parseTopologyFile(
    `
regions: { us: { up: 50 Mbit/s }, eu: }
sites: { hq: { region: us, reachable: false, subnets: [10.2.0.0/16, 10.1.0.0/16] }, lab: { region: eu } }
paths:
  - { between: [us, eu], rtt: 40 }
  - { between: [lab, hq], rate: 5 Mbit/s, rtt: 0.2 ms, cost: 3 }
  - { between: [region:eu, apac], rtt: 1 s }
`,
    'x.yaml',
    { sites: new Set(), regions: new Set(['apac']) },
  )
  assert.deepEqual(regionRate(topology, 'us'), { region: 'us', upKbit: 50_000 })
  assert.deepEqual(
    [...regionOf],
    [
      ['hq', 'us'],
      ['lab', 'eu'],
    ],
  )
  assert.deepEqual(siteLink(topology, 'hq')?.subnets, ['10.1.0.0/16', '10.2.0.0/16'])
  assert.deepEqual(
    topology.paths.map(({ between }) => between.join(' ')),
    ['hq lab', 'region:apac region:eu', 'region:eu region:us'],
  )
  const path = pathBetween(topology, { site: 'lab', region: 'eu' }, { site: 'hq', region: 'us' })
  assert.deepEqual([path?.kbit, path?.rttMs, path?.cost], [5000, 1, 3])
})

test('a fault is named with its line and what is allowed there', () => {
  const wrong: [RegExp, string][] = [
    [/x:2: regions\.us\.up: is not a rate, such as "25 Mbit\/s"/, 'regions:\n  us: { up: 25 MB/s }'],
    [
      /x:3: paths\.0\.rtt: is not a time/,
      'regions:\npaths:\n  - { between: [a, b], rtt: soon }'.replace('regions:\n', 'name: n\n'),
    ],
    [/x:1: sites\.hq: Unrecognized key: "speed"/, 'sites: { hq: { speed: 1 } }'],
    [/x:1: events\.0: is not "at: TIME" with one of/, 'events: [{ at: 1 s, explode: hq }]'],
    [/eu is a site and a region/, 'regions: { eu: }\nsites: { eu: }\npaths: [{ between: [eu, us] }]'],
    [/between names a site and a region/, 'regions: { eu: }\nsites: { a: }\npaths: [{ between: [eu, a] }]'],
    [/paths is not sorted, or repeats itself/, 'paths: [{ between: [a, b] }, { between: [b, a] }]'],
    [/x:2: /, 'sites:\n  - }'],
    [/x: subnets holds/, 'sites: { a: { subnets: [10.0.0.1/8] } }'],
  ]
  for (const [message, text] of wrong)
    assert.throws(
      () => parseTopologyFile(text, 'x'),
      (error) => isMirrorError(error, 'invalid') && message.test(error.message),
      `${message}: ${text}`,
    )
})

test('the lists that are shown as JSON are read back', () => {
  const { topology } = parseTopologyFile(
    '{"version": 4, "regions": [{"region": "eu", "upKbit": 5}], "sites": [], "paths": []}',
    'x',
  )
  assert.deepEqual(topology, { regions: [{ region: 'eu', upKbit: 5 }], sites: [], paths: [] })
  assert.throws(
    () => parseTopologyFile('{"regions": [], "sites": [{"site": "A"}], "paths": []}', 'x'),
    (error) => isMirrorError(error, 'invalid') && /x: site is not a name/.test(error.message),
  )
})

test('every example is read', async () => {
  const files = readdirSync(examples).filter((file) => file.endsWith('.yaml'))
  assert.ok(files.length >= 4)
  for (const file of files) {
    const { topology, origin } = await readTopologyFile(join(examples, file))
    assert.equal(origin, 'hq', file)
    assert.ok(topology.regions.length >= 2 && topology.sites.length >= 1, file)
  }
  await assert.rejects(readTopologyFile(join(examples, 'none.yaml')), (error) =>
    isMirrorError(error, 'not-found'),
  )
})

test('what is written of a topology is read as the same', () => {
  const name = fc.oneof(
    fc.constantFrom('null', 'true', '1e3', '1.50', '0x10', 'no', 'a.b', 'x-1', '10'),
    fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,12}$/),
  )
  const kbit = fc.option(fc.integer({ min: 1, max: MAX_KBIT }), { nil: undefined })
  const whole = <T extends object>(link: T): T =>
    Object.fromEntries(Object.entries(link).filter(([, value]) => value !== undefined)) as T
  const subnets = fc.constantFrom(undefined, ['10.7.0.0/16'], ['10.1.0.0/16', '2001:db8::/32'])
  const topology = fc
    .record({
      regions: fc.uniqueArray(fc.record({ region: name, upKbit: kbit, downKbit: kbit }), {
        selector: ({ region }) => region,
        maxLength: 4,
      }),
      sites: fc.uniqueArray(
        fc.record({
          ...{ site: name, upKbit: kbit, downKbit: kbit, subnets },
          isReachable: fc.constantFrom(undefined, true, false),
        }),
        { selector: ({ site }) => site, maxLength: 4 },
      ),
      paths: fc.uniqueArray(
        fc.record({
          between: fc
            .tuple(name, name, fc.boolean())
            .filter(([a, b, isRegion]) => isRegion || a !== b)
            .map(([a, b, isRegion]) => (isRegion ? [regionEnd(a), regionEnd(b)] : [a, b]).toSorted()),
          rttMs: fc.option(fc.integer({ min: 1, max: 60_000 }), { nil: undefined }),
          ...{ kbit, cost: fc.option(fc.integer({ min: 0, max: 1_000_000 }), { nil: undefined }) },
        }),
        { selector: ({ between }) => between.join(' '), maxLength: 4 },
      ),
    })
    .map(({ regions, sites, paths }) =>
      decodeTopology({
        regions: regions.map(whole).toSorted((a, b) => (a.region < b.region ? -1 : 1)),
        sites: sites.map(whole).toSorted((a, b) => (a.site < b.site ? -1 : 1)),
        paths: paths.map((link) => whole(link) as unknown as PathLink).toSorted(comparePaths),
      }),
    )
  fc.assert(
    fc.property(topology, (given) => {
      assert.deepEqual(parseTopologyFile(topologyText(given), 'x.yaml').topology, given)
    }),
  )
})
