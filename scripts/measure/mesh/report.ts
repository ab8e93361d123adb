/** What a run of each system came to, as a document and as tables. Figures are measured over emulated links. */

import { boundMs, siteBounds } from '../../../topology/bound.ts'
import { DEFAULT_SITE_KBIT } from '../../../topology/emulator/network.ts'
import type { Scenario } from '../../../topology/scenario.ts'
import { rounded, table } from '../markdown.ts'
import { median } from '../run.ts'
import type { MeshFacts, Reading, SourceTree } from './system.ts'

export interface SystemResult {
  readonly system: string
  readonly round: number
  readonly reading: Reading
  readonly cpuSeconds: number
  /** Sites whose copy is not the tree, with the first differences. */
  readonly wrong: readonly { readonly site: string; readonly differences: readonly string[] }[]
  readonly mesh?: MeshFacts
}

export interface SiteFigures {
  readonly site: string
  readonly region: string
  /** Null when it was not done within the limit. */
  readonly seconds: number | null
  readonly boundSeconds: number | null
}

export interface RegionFigures {
  readonly region: string
  readonly inBytes: number
  readonly outBytes: number
  /** Of them: blocks and index. Of mirrormesh only. */
  readonly givenInBytes?: number
  readonly givenOutBytes?: number
}

export interface SystemFigures {
  readonly system: string
  readonly round: number
  readonly sites: readonly SiteFigures[]
  readonly lastSeconds: number | null
  readonly medianSeconds: number | null
  readonly identicalSites: number
  readonly wrong: SystemResult['wrong']
  readonly originBytes: number
  readonly regions: readonly RegionFigures[]
  /** Bytes that left one site for another, as `FROM TO`. */
  readonly pairs: Readonly<Record<string, number>>
  readonly cpuSeconds: number
  /** Of the tree's bytes, times the sites that got them. */
  readonly cpuSecondsPerGB: number
  readonly busyPercent: number
  readonly meanLateUs: number
  readonly lateOver5msPercent: number
  readonly mesh?: MeshFacts
}

export interface MeshDocument {
  readonly isEmulated: true
  readonly links: 'emulator' | 'referee'
  readonly topology: string
  readonly machine: Readonly<Record<string, string | number>>
  readonly tree: Omit<SourceTree, 'path'>
  /** What every site held when the clock started. */
  readonly before?: Omit<SourceTree, 'path'>
  /** What mirrormesh's daemons had moved before, of another tree. */
  readonly warm?: Omit<SourceTree, 'path'>
  /** S: of mirrormesh's first run, when there is one. The bound is for these bytes. */
  readonly travelBytes: number | null
  readonly boundSeconds: number | null
  readonly missing: readonly string[]
  /** Runs that came to nothing, and why. */
  readonly failed: readonly string[]
  readonly runs: readonly SystemFigures[]
}

export function figuresOf(
  result: SystemResult,
  scenario: Scenario,
  tree: SourceTree,
  travelBytes: number | null,
): SystemFigures {
  const { reading } = result
  const bounds = boundsOf(scenario, travelBytes)
  const arrivals = new Map(reading.arrivals.map(({ site, seconds }) => [site, seconds]))
  const sites = scenario.places
    .filter(({ site }) => site !== scenario.origin)
    .map(({ site, region }) => ({
      site,
      region,
      seconds: arrivals.get(site) ?? null,
      boundSeconds: bounds.get(site) ?? null,
    }))
  const times = sites.map(({ seconds }) => seconds ?? Number.POSITIVE_INFINITY)
  const { traffic } = reading
  return {
    system: result.system,
    round: result.round,
    sites,
    lastSeconds: finite(Math.max(...times)),
    medianSeconds: finite(median(times)),
    identicalSites: arrivals.size - result.wrong.length,
    wrong: result.wrong,
    originBytes: traffic.siteUp[scenario.origin] ?? 0,
    regions: Object.keys(traffic.regionUp).map((region) => ({
      region,
      inBytes: traffic.regionDown[region] ?? 0,
      outBytes: traffic.regionUp[region] ?? 0,
      ...(result.mesh === undefined ? {} : givenOf(result.mesh, scenario, region)),
    })),
    pairs: traffic.pairs,
    cpuSeconds: result.cpuSeconds,
    cpuSecondsPerGB: arrivals.size === 0 ? 0 : result.cpuSeconds / ((tree.bytes / 1e9) * arrivals.size),
    busyPercent: reading.busyPercent,
    meanLateUs: traffic.packets === 0 ? 0 : traffic.lateUs / traffic.packets,
    lateOver5msPercent: traffic.packets === 0 ? 0 : (100 * traffic.lateOver5ms) / traffic.packets,
    ...(result.mesh === undefined ? {} : { mesh: result.mesh }),
  }
}

function givenOf(
  { given }: MeshFacts,
  { places }: Scenario,
  region: string,
): { givenInBytes: number; givenOutBytes: number } {
  const regionOf = new Map(places.map((place) => [place.site, place.region]))
  let [givenInBytes, givenOutBytes] = [0, 0]
  for (const [pair, bytes] of Object.entries(given)) {
    const [from, to] = pair.split(' ').map((site) => regionOf.get(site))
    if (from === to) continue
    if (to === region) givenInBytes += bytes
    if (from === region) givenOutBytes += bytes
  }
  return { givenInBytes, givenOutBytes }
}

/** Seconds that the links allow, by site. */
export function boundsOf(scenario: Scenario, travelBytes: number | null): ReadonlyMap<string, number> {
  if (travelBytes === null) return new Map()
  return new Map(
    siteBounds(scenario.topology, scenario.places, scenario.origin, { siteKbit: DEFAULT_SITE_KBIT }).map(
      ({ site, kbit }) => [site, boundMs(travelBytes, kbit) / 1000],
    ),
  )
}

export function formatDocument(document: MeshDocument): string {
  const { tree, travelBytes, boundSeconds, runs } = document
  const facts = Object.entries(document.machine).map(([name, value]) => `${name} ${value}`)
  const parts = [
    `${document.topology} over emulated links${document.links === 'referee' ? ' (those of the referee)' : ''}; ${tree.files} files, F = ${mega(tree.bytes)}` +
      `${document.before === undefined ? '' : `, after ${document.before.files} files, ${mega(document.before.bytes)} that all sites held`}` +
      `${document.warm === undefined ? '' : `, by daemons that had moved ${document.warm.files} other files, ${mega(document.warm.bytes)}`}` +
      `${travelBytes === null ? '' : `, S = ${mega(travelBytes)} (${rounded(travelBytes / tree.bytes, 3)} F), bound ${rounded(boundSeconds!, 1)} s`}; ${facts.join(', ')}.`,
  ]
  if (document.missing.length > 0)
    parts.push(`Not measured, for want of a program or a way: ${document.missing.join(', ')}.`)
  for (const failure of document.failed) parts.push(`FAILED: ${failure}`)
  parts.push(systemsTable(document))
  for (const run of runs) {
    parts.push(`### ${run.system}, round ${run.round}`, sitesTable(run), regionsTable(run, document))
    if (run.mesh !== undefined) parts.push(meshLine(run.mesh))
    for (const { site, differences } of run.wrong)
      parts.push(`${site} DIFFERS: ${differences.slice(0, 5).join('; ')}`)
  }
  return `${parts.join('\n\n')}\n`
}

function systemsTable({ runs, tree, travelBytes, boundSeconds }: MeshDocument): string {
  const head = [
    ...['system', 'last, s', 'median, s', '/ bound', 'median / bound', 'out of origin, MB', '/ S', '/ F'],
    ...['CPU s', 'CPU s/GB', 'busy %', 'late, us', 'over 5 ms %', 'identical'],
  ]
  const rows = runs.map((run) => [
    `${run.system}${run.round === 1 ? '' : ` (${run.round})`}`,
    seconds(run.lastSeconds),
    seconds(run.medianSeconds),
    ratio(run.lastSeconds, boundSeconds),
    ratio(run.medianSeconds, boundSeconds),
    rounded(run.originBytes / 1e6, 1),
    ratio(run.originBytes, travelBytes),
    ratio(run.originBytes, tree.bytes),
    rounded(run.cpuSeconds, 1),
    rounded(run.cpuSecondsPerGB, 1),
    rounded(run.busyPercent, 0),
    rounded(run.meanLateUs, 0),
    rounded(run.lateOver5msPercent, 2),
    `${run.identicalSites} of ${run.sites.length}`,
  ])
  return table(head, rows)
}

function sitesTable({ sites }: SystemFigures): string {
  return table(
    ['site', 'region', 's', 'bound, s', '/ bound'],
    sites.map((site) => [
      ...[site.site, site.region, seconds(site.seconds)],
      site.boundSeconds === null ? '-' : seconds(site.boundSeconds),
      ratio(site.seconds, site.boundSeconds),
    ]),
  )
}

function regionsTable({ regions }: SystemFigures, { travelBytes, tree }: MeshDocument): string {
  return table(
    ['region', 'in, MB', '/ S', '/ F', 'blocks / S', 'out, MB', '/ S', '/ F', 'blocks / S'],
    regions.map(({ region, inBytes, outBytes, givenInBytes = null, givenOutBytes = null }) => [
      region,
      ...(
        [
          [inBytes, givenInBytes],
          [outBytes, givenOutBytes],
        ] as const
      ).flatMap(([bytes, given]) => [
        rounded(bytes / 1e6, 1),
        ratio(bytes, travelBytes),
        ratio(bytes, tree.bytes),
        ratio(given, travelBytes),
      ]),
    ]),
  )
}

function meshLine(mesh: MeshFacts): string {
  const phases = mesh.phases.map(
    ({ name, seconds: at, cpuSeconds }) =>
      `${name} after ${rounded(at, 1)} s and ${rounded(cpuSeconds, 1)} CPU s`,
  )
  return [
    ...phases,
    `${mesh.blocks} blocks`,
    `${rounded(mesh.blocksLeftOriginTwicePercent, 2)} % of them left the origin more than once`,
    `${rounded(mesh.duplicatePercent, 2)} % of what arrived was there before`,
  ].join(', ')
}

function ratio(value: number | null, to: number | null): string {
  return value === null || to === null || to === 0 ? '-' : rounded(value / to, 2)
}

function seconds(value: number | null): string {
  return value === null ? 'not done' : rounded(value, 1)
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

function mega(bytes: number): string {
  return `${rounded(bytes / 1e6, 1)} MB`
}
