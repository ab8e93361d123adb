/** A topology as people write it, in the YAML that `topology apply` reads: what one declared, to be edited. */
import { regionOfEnd } from '../../src/topology/region-end.ts'
import type { PathLink, Rate, SiteLink, Topology } from '../../src/topology/topology.ts'
import { formatRate } from './units.ts'

/** Reading it gives the same topology, where `regions` are among the names that are known. */
export function topologyText(topology: Topology, regions: ReadonlySet<string> = new Set()): string {
  const isRegion = (name: string): boolean =>
    regions.has(name) || topology.regions.some(({ region }) => region === name)
  const ends = topology.paths.flatMap(({ between }) => between)
  // A bare name that is also a region's would be read as that: the lists have no such names.
  if (ends.some((end) => regionOfEnd(end) === undefined && isRegion(end))) {
    const { regions: links, sites, paths } = topology
    return `${JSON.stringify({ regions: links, sites, paths }, null, 2)}\n`
  }
  return [
    ...section(
      'regions',
      topology.regions.map((link) => `  ${scalar(link.region)}: ${flow(rateOf(link))}`),
    ),
    ...section(
      'sites',
      topology.sites.map((link) => `  ${scalar(link.site)}: ${flow(siteOf(link))}`),
    ),
    ...section(
      'paths',
      topology.paths.map((link) => `  - ${flow(pathOf(link))}`),
    ),
    '',
  ].join('\n')
}

function section(name: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [`${name}: ${name === 'paths' ? '[]' : '{}'}`]
  return [`${name}:`, ...lines]
}

function rateOf({ upKbit, downKbit }: Rate): string[] {
  return [
    ...(upKbit === undefined ? [] : [`up: ${formatRate(upKbit)}`]),
    ...(downKbit === undefined ? [] : [`down: ${formatRate(downKbit)}`]),
  ]
}

function siteOf(link: SiteLink): string[] {
  return [
    ...rateOf(link),
    ...(link.isReachable === undefined ? [] : [`reachable: ${link.isReachable}`]),
    ...(link.subnets === undefined ? [] : [`subnets: [${link.subnets.map(scalar).join(', ')}]`]),
  ]
}

function pathOf({ between, rttMs, kbit, cost }: PathLink): string[] {
  return [
    `between: [${between.map(scalar).join(', ')}]`,
    ...(rttMs === undefined ? [] : [`rtt: ${rttMs} ms`]),
    ...(kbit === undefined ? [] : [`rate: ${formatRate(kbit)}`]),
    ...(cost === undefined ? [] : [`cost: ${cost}`]),
  ]
}

function flow(parts: readonly string[]): string {
  return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`
}

/** Bare where YAML reads it as the text that it is. */
function scalar(text: string): string {
  const isBare =
    /^(?:region:)?[a-z][a-z0-9._-]*$|^\d+\.\d+\.\d+\.\d+\/\d+$/.test(text) &&
    !/^(?:null|true|false)$/.test(text)
  return isBare ? text : JSON.stringify(text)
}
