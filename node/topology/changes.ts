/** What differs between two topologies, part by part, for people to read before they sign. */
import {
  type PathLink,
  type Rate,
  regionOfEnd,
  type SiteLink,
  type Topology,
} from '../../src/topology/topology.ts'
import { formatRate } from './units.ts'

export interface TopologyChange {
  readonly change: 'added' | 'removed' | 'changed'
  readonly part: 'region' | 'site' | 'path'
  readonly name: string
  /** As `describe...` says it; null when it is not there. */
  readonly before: string | null
  readonly after: string | null
}

export function topologyChanges(before: Topology, after: Topology): TopologyChange[] {
  return [
    ...changesOf('region', before.regions, after.regions, ({ region }) => region, describeRate),
    ...changesOf('site', before.sites, after.sites, ({ site }) => site, describeSite),
    ...changesOf('path', before.paths, after.paths, pathName, describePath),
  ]
}

/** `eu - us`: two regions, or two sites. */
export function pathName({ between: [a, b] }: PathLink): string {
  return regionOfEnd(a) === undefined ? `${a} - ${b}` : `region ${regionOfEnd(a)} - ${regionOfEnd(b)}`
}

export function describeRate({ upKbit, downKbit }: Rate): string {
  const parts = [
    ...(upKbit === undefined ? [] : [`up ${formatRate(upKbit)}`]),
    ...(downKbit === undefined ? [] : [`down ${formatRate(downKbit)}`]),
  ]
  return parts.join(', ') || 'no rate declared'
}

export function describeSite(link: SiteLink): string {
  return [
    describeRate(link),
    ...(link.isReachable === false ? ['cannot be dialled'] : []),
    ...(link.subnets === undefined ? [] : [`subnets ${link.subnets.join(' ')}`]),
  ].join(', ')
}

export function describePath({ rttMs, kbit, cost }: PathLink): string {
  const parts = [
    ...(rttMs === undefined ? [] : [`${rttMs} ms`]),
    ...(kbit === undefined ? [] : [formatRate(kbit)]),
    ...(cost === undefined ? [] : [`cost ${cost}`]),
  ]
  return parts.join(', ') || 'nothing declared'
}

function changesOf<T>(
  part: TopologyChange['part'],
  before: readonly T[],
  after: readonly T[],
  nameOf: (link: T) => string,
  describe: (link: T) => string,
): TopologyChange[] {
  const old = new Map(before.map((link) => [nameOf(link), describe(link)]))
  const now = new Map(after.map((link) => [nameOf(link), describe(link)]))
  const changes: TopologyChange[] = []
  for (const name of [...new Set([...old.keys(), ...now.keys()])].sort()) {
    const [was, is] = [old.get(name) ?? null, now.get(name) ?? null]
    if (was === is) continue
    const change = was === null ? 'added' : is === null ? 'removed' : 'changed'
    changes.push({ change, part, name, before: was, after: is })
  }
  return changes
}
