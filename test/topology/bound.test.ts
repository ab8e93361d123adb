/** The bound beside a plain search for the narrowest cut, over a network in which every site is a node of its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Place } from '../../src/topology/path-class.ts'
import { NO_TOPOLOGY, pathBetween, regionRate, siteRate, type Topology } from '../../src/topology/topology.ts'
import { boundMs, siteBounds } from '../../topology/bound.ts'
import { createFlowNetwork } from '../../topology/max-flow.ts'

type Edge = readonly [from: number, to: number, kbit: number]

/** The least capacity over all ways to part the nodes with the source on one side and the sink on the other. */
function narrowestCut(nodes: number, edges: readonly Edge[], source: number, sink: number): number {
  let least = Number.POSITIVE_INFINITY
  for (let side = 0; side < 1 << nodes; side++) {
    if (((side >> source) & 1) === 0 || ((side >> sink) & 1) === 1) continue
    let sum = 0
    for (const [from, to, kbit] of edges) if ((side >> from) & 1 && !((side >> to) & 1)) sum += kbit
    least = Math.min(least, sum)
  }
  return least
}

test('the greatest flow is the narrowest cut', () => {
  const edge = fc.tuple(fc.nat(6), fc.nat(6), fc.oneof(fc.nat(20), fc.constant(Number.POSITIVE_INFINITY)))
  fc.assert(
    fc.property(fc.array(edge, { maxLength: 20 }), (all) => {
      const edges = all.filter(([from, to]) => from !== to)
      const network = createFlowNetwork()
      for (let i = 0; i < 7; i++) network.addNode()
      for (const each of edges) network.addEdge(...each)
      assert.equal(network.maxFlow(0, 6), narrowestCut(7, edges, 0, 6))
      assert.equal(network.maxFlow(0, 6), narrowestCut(7, edges, 0, 6), 'and again')
    }),
    { numRuns: 200 },
  )
})

const kbit = fc.integer({ min: 1, max: 9 })
const rate = fc.record({ upKbit: kbit, downKbit: kbit }, { requiredKeys: [] })

/** Three regions, four sites: small enough for every cut. */
const meshes = fc
  .record({
    regions: fc.tuple(rate, rate, rate),
    sites: fc.tuple(rate, rate, rate, rate),
    at: fc.array(fc.nat(2), { minLength: 4, maxLength: 4 }),
    paths: fc.tuple(fc.option(kbit), fc.option(kbit), fc.option(kbit)),
  })
  .map(({ regions, sites, at, paths }) => {
    const places = at.map((region, i): Place => ({ site: `s${i}`, region: `r${region}` }))
    const pairs = [
      ['region:r0', 'region:r1'],
      ['region:r0', 'region:r2'],
      ['region:r1', 'region:r2'],
    ] as const
    const topology: Topology = {
      regions: regions.map((each, i) => ({ region: `r${i}`, ...each })),
      sites: sites.map((each, i) => ({ site: `s${i}`, ...each })),
      paths: pairs.flatMap((between, i) => (paths[i] === null ? [] : [{ between, kbit: paths[i]! }])),
    }
    return { topology, places }
  })

/**
 * Every site has a node for what it holds, one for what it sends and one for what it is sent; a region has two for each
 * of its pipes. A pipe with a rate is the edge between two of them.
 */
function flowByHand(topology: Topology, places: readonly Place[], sink: string): number {
  const edges: Edge[] = []
  const none = Number.POSITIVE_INFINITY
  let nodes = 0
  const sites = places.map(({ site, region }) => {
    const ends = { region, holds: nodes++, sent: nodes++, taken: nodes++ }
    const { upKbit = none, downKbit = none } = siteRate(topology, site)
    edges.push([ends.holds, ends.sent, upKbit], [ends.taken, ends.holds, downKbit])
    return ends
  })
  const regions = [...new Set(places.map(({ region }) => region))].map((region) => {
    const ends = { region, gate: nodes++, gone: nodes++, coming: nodes++, come: nodes++ }
    const { upKbit = none, downKbit = none } = regionRate(topology, region)
    edges.push([ends.gate, ends.gone, upKbit], [ends.coming, ends.come, downKbit])
    return ends
  })
  for (const one of sites) {
    for (const other of sites)
      if (one !== other && one.region === other.region) edges.push([one.sent, other.taken, none])
    const home = regions.find(({ region }) => region === one.region)!
    edges.push([one.sent, home.gate, none], [home.come, one.taken, none])
  }
  for (const one of regions) {
    for (const other of regions) {
      if (one === other) continue
      const path = pathBetween(
        topology,
        { site: 'x', region: one.region },
        { site: 'y', region: other.region },
      )
      edges.push([one.gone, other.coming, path?.kbit ?? none])
    }
  }
  const target = sites[places.findIndex(({ site }) => site === sink)]!
  return leastCut(nodes, edges, sites[0]!.holds, target.holds)
}

/** The narrowest cut by repeated search for a way with room: slow, plain, and not Dinic's. */
function leastCut(nodes: number, edges: readonly Edge[], source: number, sink: number): number {
  const room = Array.from({ length: nodes }, () => new Float64Array(nodes))
  for (const [from, to, capacity] of edges) room[from]![to]! += capacity
  let sum = 0
  for (;;) {
    const from = new Int32Array(nodes).fill(-1)
    const queue = [source]
    for (const node of queue)
      for (let next = 0; next < nodes; next++)
        if (next !== source && from[next] === -1 && room[node]![next]! > 0) {
          from[next] = node
          queue.push(next)
        }
    if (from[sink] === -1) return sum
    let least = Number.POSITIVE_INFINITY
    for (let node = sink; node !== source; node = from[node]!)
      least = Math.min(least, room[from[node]!]![node]!)
    if (least === Number.POSITIVE_INFINITY) return least
    sum += least
    for (let node = sink; node !== source; node = from[node]!) {
      room[from[node]!]![node]! -= least
      room[node]![from[node]!]! += least
    }
  }
}

test('the search by ways with room agrees with all cuts', () => {
  const edge = fc.tuple(fc.nat(6), fc.nat(6), fc.nat(20))
  fc.assert(
    fc.property(fc.array(edge, { maxLength: 20 }), (all) => {
      const edges = all.filter(([from, to]) => from !== to)
      assert.equal(leastCut(7, edges, 0, 6), narrowestCut(7, edges, 0, 6))
    }),
    { numRuns: 100 },
  )
})

test('the bound of each site is the greatest flow in the network with every site as a node', () => {
  fc.assert(
    fc.property(meshes, ({ topology, places }) => {
      for (const { site, kbit: bound } of siteBounds(topology, places, 's0')) {
        if (site === 's0') assert.equal(bound, Number.POSITIVE_INFINITY)
        else assert.equal(bound, flowByHand(topology, places, site), site)
      }
    }),
    { numRuns: 150 },
  )
})

const mesh = (regions: readonly string[], each: number): Place[] =>
  regions.flatMap((region) =>
    Array.from({ length: each }, (_, i) => ({ site: `${region}-${i + 1}`, region })),
  )

test('a region’s pipe carries one copy for all its sites', () => {
  const topology: Topology = {
    regions: [
      { region: 'eu', upKbit: 100_000, downKbit: 100_000 },
      { region: 'us', upKbit: 100_000, downKbit: 100_000 },
    ],
    sites: [{ site: 'hq', upKbit: 80_000 }],
    paths: [],
  }
  const bounds = siteBounds(topology, [{ site: 'hq', region: 'us' }, ...mesh(['eu'], 50)], 'hq')
  assert.ok(bounds.slice(1).every(({ kbit: bound }) => bound === 80_000))
  assert.equal(boundMs(100_000_000, 80_000), 10_000)
})

test('a rate of two sites counts when there is no way around it', () => {
  const path = { between: ['a', 'hq'] as const, kbit: 5000 }
  const topology: Topology = { ...NO_TOPOLOGY, paths: [path] }
  const hq = { site: 'hq', region: 'us' }
  const a = { site: 'a', region: 'eu' }
  assert.equal(siteBounds(topology, [hq, a], 'hq')[1]?.kbit, 5000)
  assert.equal(
    siteBounds(topology, [hq, a, { site: 'b', region: 'eu' }], 'hq')[1]?.kbit,
    Number.POSITIVE_INFINITY,
  )
  assert.equal(siteBounds(topology, [a], 'hq')[0]?.kbit, 0, 'without an origin nothing arrives')
})

test('a thousand sites in twenty regions take a moment', () => {
  const regions = Array.from({ length: 20 }, (_, i) => `r${String(i).padStart(2, '0')}`)
  const places = mesh(regions, 50)
  const topology: Topology = {
    regions: regions.map((region, i) => ({ region, upKbit: 50_000 + i, downKbit: 40_000 + i })),
    sites: places
      .map(({ site }, i) => ({ site, upKbit: 10_000 + i, downKbit: 100_000 + i }))
      .sort((a, b) => (a.site < b.site ? -1 : 1)),
    paths: [],
  }
  const cpu = process.cpuUsage()
  const bounds = siteBounds(topology, places, 'r00-1')
  assert.equal(bounds.length, 1000)
  assert.equal(bounds.find(({ site }) => site === 'r05-1')?.kbit, 10_000)
  assert.ok(process.cpuUsage(cpu).user / 1e6 < 10)
})
