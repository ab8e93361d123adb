/** What a topology file names that is not there (yet), and sites that are elsewhere than it says: for people, before they sign. */
import type { Topology } from '../../src/topology/topology.ts'
import type { TopologyFile } from './read-file.ts'

/** @param sites their regions, by name */
export function warningsOf(
  { topology, regionOf, madeUp, events }: TopologyFile,
  sites: ReadonlyMap<string, string>,
  before: Topology | undefined,
): string[] {
  const regions = new Set(sites.values())
  const wasKnown = new Set([
    ...(before?.regions ?? []).map(({ region }) => region),
    ...(before?.sites ?? []).map(({ site }) => site),
  ])
  const warnings: string[] = []
  const named = { sites: new Set<string>(), regions: new Set<string>() }
  for (const { region } of topology.regions) named.regions.add(region)
  for (const { site } of topology.sites) named.sites.add(site)
  for (const { between } of topology.paths) {
    for (const end of between) {
      if (end.startsWith('region:')) named.regions.add(end.slice('region:'.length))
      else named.sites.add(end)
    }
  }
  const missing = (names: Iterable<string>, known: { has(name: string): boolean }): string[] =>
    [...names].filter((each) => !known.has(each) && !wasKnown.has(each))
  const noRegions = missing(named.regions, regions)
  const noSites = missing(named.sites, sites)
  if (noRegions.length > 0) warnings.push(`there is no site in ${listOf('region', noRegions)} yet`)
  if (noSites.length > 0) warnings.push(`there is no ${listOf('site', noSites)} yet`)
  for (const [site, region] of regionOf) {
    const actual = sites.get(site)
    if (actual !== undefined && actual !== region)
      warnings.push(`${site} is in region ${actual}, as its membership says, not in ${region}`)
  }
  if (madeUp.size > 0 || events.length > 0)
    warnings.push('made-up sites and events are for the simulator; they are left out')
  return warnings
}

/** `site a`; `site a, b, c (and 97 more)`. */
function listOf(what: string, names: readonly string[]): string {
  const rest = names.length > 5 ? ` (and ${names.length - 5} more)` : ''
  return `${what} ${names.slice(0, 5).join(', ')}${rest}`
}
