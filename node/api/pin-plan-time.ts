/**
 * How long sites would fetch, by what is declared of the links. Pure. A lower bound that real meshes come near to
 * (docs/replication.md): each tree enters a region once and leaves its source's region once for each; within a region it takes no
 * time; what a site takes in passes its own pipe.
 */
import type { Place } from '../../src/topology/path-class.ts'
import { pathBetween, regionRate, siteRate, type Topology } from '../../src/topology/topology.ts'

export interface SiteFetch {
  readonly place: Place
  readonly trees: readonly {
    readonly tree: string
    readonly bytes: number
    /** The nearest that holds it. */
    readonly source: Place | undefined
  }[]
}

/** Of each site, in order; null where nothing is declared of any link on its way. */
export function secondsToFetch(topology: Topology, sites: readonly SiteFetch[]): (number | null)[] {
  // Of each region: what it takes in of each tree, once.
  const intoRegion = new Map<string, Map<string, number>>()
  const outOf = new Map<string, Map<string, { bytes: number; source: Place }>>()
  for (const { place, trees } of sites) {
    for (const { tree, bytes, source } of trees) {
      if (source === undefined || source.region === place.region) continue
      const into = intoRegion.get(place.region) ?? new Map<string, number>()
      intoRegion.set(place.region, into.set(tree, Math.max(into.get(tree) ?? 0, bytes)))
      // It leaves its source's region once, whatever the number of regions that want it.
      const out = outOf.get(source.region) ?? new Map<string, { bytes: number; source: Place }>()
      const most = Math.max(out.get(tree)?.bytes ?? 0, bytes)
      outOf.set(source.region, out.set(tree, { bytes: most, source }))
    }
  }
  const sum = (bytes: Iterable<number>): number => [...bytes].reduce((all, each) => all + each, 0)
  return sites.map(({ place, trees }) => {
    const own = sum(trees.map(({ bytes }) => bytes))
    const times = [
      seconds(own, siteRate(topology, place.site).downKbit),
      seconds(
        sum((intoRegion.get(place.region) ?? new Map<string, number>()).values()),
        regionRate(topology, place.region).downKbit,
      ),
    ]
    for (const source of new Map(
      trees.flatMap(({ source: from }) => (from ? [[from.site, from]] : [])),
    ).values()) {
      const wanted = trees.filter((tree) => tree.source?.site === source.site)
      times.push(seconds(sum(wanted.map(({ bytes }) => bytes)), pathBetween(topology, place, source)?.kbit))
      if (source.region === place.region) continue
      const out = [...(outOf.get(source.region)?.values() ?? [])]
      times.push(seconds(sum(out.map(({ bytes }) => bytes)), regionRate(topology, source.region).upKbit))
      const ownPipe = out.filter((each) => each.source.site === source.site)
      times.push(seconds(sum(ownPipe.map(({ bytes }) => bytes)), siteRate(topology, source.site).upKbit))
    }
    const known = times.filter((time) => time !== undefined)
    if (own === 0) return 0
    return known.length === 0 ? null : Math.max(...known)
  })
}

/** A kbit is 125 bytes. */
function seconds(bytes: number, kbit: number | undefined): number | undefined {
  return kbit === undefined ? undefined : bytes / (kbit * 125)
}
