/**
 * How fast a snapshot could be everywhere if every link were used as well as is possible: a bound that no scheduler
 * can beat, computed by code that shares nothing with the scheduler.
 *
 * For one site it is the bytes over the greatest flow from the origin to it, where pipes are capacities: a site's own
 * up and down, a region's shared up and down, and paths that have a rate. For all sites it is the greatest of these:
 * with coding every site can have its greatest flow at once (Ahlswede, Cai, Li and Yeung, 2000), so no bound that looks
 * at the sites one by one is larger, and without coding none can be beaten. A region's pipe down carries one copy for
 * all its sites, which is what a flow to each of them by itself says.
 *
 * Headers, round trips and hashing are left out, and so is who can dial whom: what lies behind an undialled site can be
 * relayed. A rate of two sites counts when every pair of sites between their regions has one, and is otherwise taken
 * to be gone around. Both make the bound lower at most, never too high.
 *
 * The sites of a region are alike but for their own pipes: as relays they are one edge, so the network has a few nodes
 * for each region, and a flow is computed once for all sites of a region with the same pipe down.
 */
import type { Place } from '../src/topology/path-class.ts'
import { regionOfEnd, regionRate, siteRate, type Topology } from '../src/topology/topology.ts'
import { createFlowNetwork } from './max-flow.ts'

export interface BoundOptions {
  /** Of a site's own pipe where nothing is declared, in each direction; no limit when left out. */
  readonly siteKbit?: number
}

export interface SiteBound {
  readonly site: string
  /** Greatest flow from the origin, kbit/s; Infinity for the origin, and where no pipe on the way has a rate. */
  readonly kbit: number
}

/** Of every site, in the order given. */
export function siteBounds(
  topology: Topology,
  places: readonly Place[],
  origin: string,
  { siteKbit = Number.POSITIVE_INFINITY }: BoundOptions = {},
): SiteBound[] {
  const originPlace = places.find(({ site }) => site === origin)
  if (originPlace === undefined) return places.map(({ site }) => ({ site, kbit: 0 }))
  const byRegion = Map.groupBy(places, ({ region }) => region)
  const between = regionPairs(topology, byRegion)
  const known = new Map<string, number>()
  return places.map((place) => {
    if (place.site === origin) return { site: origin, kbit: Number.POSITIVE_INFINITY }
    const downKbit = siteRate(topology, place.site).downKbit ?? siteKbit
    // Which relays there are is the only other thing that the site changes, and it never needs itself as one.
    const key = `${place.region} ${downKbit} ${relayKbit(topology, place, siteKbit)}`
    let kbit = known.get(key)
    if (kbit === undefined) {
      kbit = flowTo(place, downKbit)
      known.set(key, kbit)
    }
    return { site: place.site, kbit }
  })

  function flowTo(sink: Place, downKbit: number): number {
    const network = createFlowNetwork()
    const ends = new Map<string, { readonly incoming: number; readonly outgoing: number }>()
    const pipes = new Map<string, { readonly up: number; readonly down: number }>()
    for (const [region, members] of byRegion) {
      // From the region's pipe to its sites, and from its sites to the pipe or to each other.
      const [incoming, outgoing] = [network.addNode(), network.addNode()]
      const [up, down] = [network.addNode(), network.addNode()]
      ends.set(region, { incoming, outgoing })
      pipes.set(region, { up, down })
      const { upKbit = Number.POSITIVE_INFINITY, downKbit: intoKbit = Number.POSITIVE_INFINITY } = regionRate(
        topology,
        region,
      )
      network.addEdge(outgoing, up, upKbit)
      network.addEdge(down, incoming, intoKbit)
      network.addEdge(outgoing, incoming, Number.POSITIVE_INFINITY)
      let relays = 0
      for (const member of members)
        if (member.site !== origin && member.site !== sink.site)
          relays += relayKbit(topology, member, siteKbit)
      network.addEdge(incoming, outgoing, relays)
    }
    for (const a of byRegion.keys())
      for (const b of byRegion.keys())
        if (a !== b) network.addEdge(pipes.get(a)!.up, pipes.get(b)!.down, between(a, b))
    const [source, target] = [network.addNode(), network.addNode()]
    network.addEdge(
      source,
      ends.get(originPlace!.region)!.outgoing,
      siteRate(topology, origin).upKbit ?? siteKbit,
    )
    network.addEdge(ends.get(sink.region)!.incoming, target, downKbit)
    return network.maxFlow(source, target)
  }
}

/** Milliseconds that `bytes` need at least to be at a site with this bound. */
export function boundMs(bytes: number, kbit: number): number {
  return (bytes * 8) / kbit
}

/** What a site can take in and pass on at once. */
function relayKbit(topology: Topology, { site }: Place, siteKbit: number): number {
  const { upKbit = siteKbit, downKbit = siteKbit } = siteRate(topology, site)
  return Math.min(upKbit, downKbit)
}

/** Capacity of the paths from one region to another, beside their pipes. */
function regionPairs(
  topology: Topology,
  byRegion: ReadonlyMap<string, readonly Place[]>,
): (a: string, b: string) => number {
  const ofSites = new Map<string, { kbit: number; pairs: number }>()
  const ofRegions = new Map<string, number>()
  const regionOf = new Map(
    [...byRegion].flatMap(([region, members]) => members.map(({ site }) => [site, region])),
  )
  for (const { between, kbit } of topology.paths) {
    const [a, b] = between
    if (regionOfEnd(a) !== undefined) {
      if (kbit !== undefined) ofRegions.set(pairKey(regionOfEnd(a)!, regionOfEnd(b)!), kbit)
      continue
    }
    const [from, to] = [regionOf.get(a), regionOf.get(b)]
    if (from === undefined || to === undefined || from === to) continue
    const sum = ofSites.get(pairKey(from, to)) ?? { kbit: 0, pairs: 0 }
    sum.kbit += kbit ?? Number.POSITIVE_INFINITY
    sum.pairs++
    ofSites.set(pairKey(from, to), sum)
  }
  return (a, b) => {
    const own = ofSites.get(pairKey(a, b)) ?? { kbit: 0, pairs: 0 }
    // A pair with a declaration of its own is not held to that of the regions.
    const isAllOwn = own.pairs === byRegion.get(a)!.length * byRegion.get(b)!.length
    return own.kbit + (isAllOwn ? 0 : (ofRegions.get(pairKey(a, b)) ?? Number.POSITIVE_INFINITY))
  }
}

function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
