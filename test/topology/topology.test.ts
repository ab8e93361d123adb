import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isMirrorError } from '../../src/base/errors.ts'
import { isSubnet } from '../../src/topology/subnet.ts'
import {
  comparePaths,
  decodeTopology,
  isReachable,
  NO_TOPOLOGY,
  type PathLink,
  pathBetween,
  regionEnd,
  regionRate,
  siteRate,
  type Topology,
  wayKbit,
} from '../../src/topology/topology.ts'

const topology: Topology = {
  regions: [
    { region: 'eu', upKbit: 100_000, downKbit: 200_000 },
    { region: 'us', downKbit: 50_000 },
  ],
  sites: [
    { site: 'brno', upKbit: 25_000, subnets: ['10.2.0.0/16', '2001:db8::/32'] },
    { site: 'us', isReachable: false },
  ],
  paths: [
    { between: ['brno', 'london'], rttMs: 22, kbit: 9000 },
    { between: ['region:eu', 'region:eu'], rttMs: 3 },
    { between: ['region:eu', 'region:us'], rttMs: 90, cost: 4 },
  ],
}

const brno = { site: 'brno', region: 'eu' }
const london = { site: 'london', region: 'eu' }
const paris = { site: 'paris', region: 'eu' }
const us = { site: 'us', region: 'us' }

test('a way is as wide as its narrowest pipe, and unknown where nothing is said of its WAN', () => {
  assert.equal(wayKbit(topology, brno, us), 25_000)
  assert.equal(wayKbit(topology, london, us), 50_000)
  assert.equal(wayKbit(topology, us, london), 200_000)
  assert.equal(wayKbit(topology, brno, london), 9000)
  const named = { ...topology, regions: [], paths: [] }
  assert.equal(wayKbit(named, brno, us), undefined)
})

test('a topology decodes to itself, and its parts are found by name', () => {
  assert.deepEqual(decodeTopology(structuredClone(topology)), topology)
  assert.equal(regionRate(topology, 'eu').downKbit, 200_000)
  assert.equal(regionRate(topology, 'us').upKbit, undefined)
  assert.deepEqual(regionRate(topology, 'mars'), {})
  assert.equal(siteRate(topology, 'brno').upKbit, 25_000)
  assert.deepEqual(siteRate(topology, 'eu'), {})
  assert.ok(!isReachable(topology, 'us'))
  assert.ok(isReachable(topology, 'brno') && isReachable(topology, 'nowhere'))
})

test('a path of two sites goes before that of their regions, in either direction', () => {
  assert.equal(pathBetween(topology, brno, london)?.rttMs, 22)
  assert.equal(pathBetween(topology, london, brno)?.rttMs, 22)
  assert.equal(pathBetween(topology, brno, paris)?.rttMs, 3)
  assert.equal(pathBetween(topology, us, brno)?.rttMs, 90)
  assert.equal(pathBetween(topology, us, { site: 'x', region: 'apac' }), undefined)
  assert.equal(pathBetween(NO_TOPOLOGY, brno, us), undefined)
})

test('a site and a region of one name are told apart', () => {
  const both: Topology = {
    ...NO_TOPOLOGY,
    paths: [
      { between: ['eu', 'us'], rttMs: 1 },
      { between: ['region:eu', 'region:us'], rttMs: 2 },
    ],
  }
  assert.equal(pathBetween(both, { site: 'a', region: 'eu' }, { site: 'b', region: 'us' })?.rttMs, 2)
  assert.equal(pathBetween(both, { site: 'eu', region: 'eu' }, { site: 'us', region: 'us' })?.rttMs, 1)
})

test('what is not exactly a topology is refused, by the name of the field', () => {
  const wrong: [RegExp, unknown][] = [
    [/topology is not a map/, null],
    [/lacks the field paths/, { regions: [], sites: [] }],
    [/does not know: "speed"/, { ...topology, regions: [{ region: 'eu', speed: 1 }] }],
    [/upKbit is not an integer from 1/, { ...topology, regions: [{ region: 'eu', upKbit: 0 }] }],
    [/upKbit is not an integer/, { ...topology, sites: [{ site: 'a', upKbit: 1.5 }] }],
    [/regions is not sorted/, { ...topology, regions: [{ region: 'us' }, { region: 'eu' }] }],
    [/sites is not sorted/, { ...topology, sites: [{ site: 'a' }, { site: 'a' }] }],
    [/site is not a name/, { ...topology, sites: [{ site: 'A b' }] }],
    [/subnets holds/, { ...topology, sites: [{ site: 'a', subnets: ['10.2.0.1/16'] }] }],
    [/isReachable is not true or false/, { ...topology, sites: [{ site: 'a', isReachable: 'no' }] }],
    [/lesser first/, { ...topology, paths: [{ between: ['b', 'a'] }] }],
    [/lesser first/, { ...topology, paths: [{ between: ['a', 'a'] }] }],
    [/a site and a region/, { ...topology, paths: [{ between: ['a', 'region:b'] }] }],
    [/between is not a list of 2/, { ...topology, paths: [{ between: ['a'] }] }],
    [/rttMs is not an integer from 1/, { ...topology, paths: [{ between: ['a', 'b'], rttMs: 0 }] }],
    [/regions is not a list of 0 to 100/, { ...topology, regions: new Array(101).fill({ region: 'a' }) }],
  ]
  for (const [message, value] of wrong)
    assert.throws(
      () => decodeTopology(value),
      (error) => isMirrorError(error, 'corrupt') && message.test(error.message),
      String(message),
    )
})

test('subnets are whole ones, of both families', () => {
  for (const good of [
    '0.0.0.0/0',
    '10.2.3.4/32',
    '192.168.0.0/17',
    '::/0',
    '2001:db8::/32',
    '::1/128',
    'fe80::/10',
    '::ffff:10.2.0.0/112',
  ])
    assert.ok(isSubnet(good), good)
  for (const bad of [
    '10.2.0.0',
    '10.2.0.0/33',
    '10.2.0.0/08',
    '10.2.1.0/23',
    '2001:db8::1/64',
    '::/129',
    '1.2.3/8',
    'eu/8',
    '/8',
    'fe80::%1/64',
  ])
    assert.ok(!isSubnet(bad), bad)
})

test('the largest topology is looked up without a scan', () => {
  const name = (i: number): string => `r${String(i).padStart(3, '0')}`
  const paths: PathLink[] = []
  for (let a = 0; a < 100; a++)
    for (let b = a; b < 100; b++)
      paths.push({ between: [regionEnd(name(a)), regionEnd(name(b))], rttMs: 1 + a + b })
  const large = decodeTopology({
    regions: Array.from({ length: 100 }, (_, i) => ({ region: name(i), upKbit: i + 1 })),
    sites: Array.from({ length: 1000 }, (_, i) => ({
      site: `s${String(i).padStart(4, '0')}`,
      upKbit: 1000 + i,
    })),
    paths: paths.sort(comparePaths),
  })
  const cpu = process.cpuUsage()
  for (let i = 0; i < 100_000; i++) {
    const [a, b] = [i % 100, (i * 7) % 100]
    const path = pathBetween(large, { site: 'x', region: name(a) }, { site: 'y', region: name(b) })
    assert.equal(path?.rttMs, 1 + a + b)
  }
  const seconds = process.cpuUsage(cpu).user / 1e6
  assert.ok(seconds < 5, `100,000 look-ups took ${seconds} s of CPU; a scan would take minutes`)
})

test('any value gives a topology or an error that says which field', () => {
  const field = fc.oneof(fc.integer(), fc.string(), fc.constantFrom('a', 'b', 'region:a'), fc.boolean())
  const entry = fc.dictionary(
    fc.constantFrom('region', 'site', 'between', 'upKbit', 'downKbit', 'rttMs', 'kbit', 'subnets', 'x'),
    fc.oneof(field, fc.array(field, { maxLength: 3 })),
  )
  const list = fc.array(fc.oneof(entry, field), { maxLength: 4 })
  fc.assert(
    fc.property(fc.record({ regions: list, sites: list, paths: list }), (value) => {
      try {
        assert.deepEqual(decodeTopology(value), value)
      } catch (error) {
        if (!isMirrorError(error, 'corrupt')) throw error
      }
    }),
  )
})
