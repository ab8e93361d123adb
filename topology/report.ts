/** What a simulation found, as a document and as a table. Every figure in it is simulated, and is called so. */
import { formatBytes, formatCount, formatSeconds } from '../node/cli/quantity.ts'
import { formatTable } from '../node/cli/table.ts'
import { siteRate } from '../src/topology/topology.ts'
import { boundMs, siteBounds } from './bound.ts'
import type { Scenario } from './scenario.ts'
import type { SimulationResult } from './simulator.ts'

export interface SimulationReport {
  readonly isSimulated: true
  readonly name: string
  readonly notes: readonly string[]
  readonly snapshotBytes: number
  readonly blocks: number
  readonly sites: readonly ReportedSite[]
  /** Of the sites that got there; null when none did. Ratios are to each site's own bound, the mesh's to the greatest. */
  readonly lastSeconds: number | null
  readonly medianSeconds: number | null
  readonly boundSeconds: number
  readonly lastToBound: number | null
  readonly medianToBound: number | null
  readonly incompleteSites: number
  /** In multiples of the snapshot. */
  readonly originEgress: number
  readonly regions: readonly { readonly region: string; readonly wanIn: number; readonly wanOut: number }[]
  /** In multiples of the snapshot: what passed a third site, as its ends cannot dial each other. */
  readonly relayed: number
  readonly originBlocksTwice: number
  readonly originBlocksTwicePercent: number
  /** Of all blocks that arrived, at every site. */
  readonly duplicateBlocks: number
  readonly duplicatePercent: number
  /** Of all blocks that were sent: cancelled on their way, or there already. */
  readonly blocksInVain: number
  readonly blocksInVainPercent: number
  readonly messages: { readonly requests: number; readonly cancels: number; readonly announcements: number }
  /** Processor time of all schedulers, and of that for each block at each site; real time of the whole simulation. */
  readonly schedulerSeconds: number
  readonly schedulerMicrosPerBlock: number
  readonly realSeconds: number
}

export interface ReportedSite {
  readonly site: string
  readonly region: string
  /** From when it learned of the snapshot; null when it never was complete. */
  readonly seconds: number | null
  readonly boundSeconds: number
  readonly toBound: number | null
  readonly isAlive: boolean
}

export function reportOf(
  scenario: Scenario,
  result: SimulationResult,
  { siteKbit, realSeconds }: { readonly siteKbit: number; readonly realSeconds: number },
): SimulationReport {
  const { snapshotBytes, blocks } = result
  const bounds = siteBounds(scenario.topology, scenario.places, scenario.origin, { siteKbit })
  const joins = new Map(
    scenario.events.flatMap((event) => (event.kind === 'join' ? [[event.site, event.atMs] as const] : [])),
  )
  const sites = scenario.places
    .map((place, i): ReportedSite & { readonly isOrigin: boolean } => {
      const { doneMs, isAlive } = result.sites.get(place.site)!
      // One that joins late may find it all around: its own pipe is what holds it up for certain.
      const kbit = joins.has(place.site)
        ? (siteRate(scenario.topology, place.site).downKbit ?? siteKbit)
        : bounds[i]!.kbit
      const boundSeconds = boundMs(snapshotBytes, kbit) / 1000
      const seconds = doneMs === undefined ? null : (doneMs - (joins.get(place.site) ?? 0)) / 1000
      return {
        ...place,
        seconds,
        boundSeconds,
        toBound: seconds === null || boundSeconds === 0 ? null : seconds / boundSeconds,
        isAlive,
        isOrigin: place.site === scenario.origin,
      }
    })
    .filter(({ isOrigin }) => !isOrigin)
    .map(({ isOrigin: _, ...site }) => site)
  const times = sites.flatMap(({ seconds }) => (seconds === null ? [] : [seconds])).sort((a, b) => a - b)
  const boundSeconds = Math.max(0, ...sites.map((site) => site.boundSeconds))
  const [lastSeconds, medianSeconds] = [
    times.at(-1) ?? null,
    times[Math.floor((times.length - 1) / 2)] ?? null,
  ]
  const duplicateBlocks = [...result.sites.values()].reduce((sum, site) => sum + site.duplicateBlocks, 0)
  return {
    isSimulated: true,
    name: scenario.name,
    notes: scenario.notes,
    snapshotBytes,
    blocks,
    sites,
    lastSeconds,
    medianSeconds,
    boundSeconds,
    lastToBound: ratio(lastSeconds, boundSeconds),
    medianToBound: ratio(medianSeconds, boundSeconds),
    incompleteSites: sites.filter(({ seconds }) => seconds === null).length,
    originEgress: result.originBytesSent / snapshotBytes,
    regions: [...result.wanBytesInto.keys()].map((region) => ({
      region,
      wanIn: result.wanBytesInto.get(region)! / snapshotBytes,
      wanOut: result.wanBytesOutOf.get(region)! / snapshotBytes,
    })),
    relayed: result.relayedBytes / snapshotBytes,
    originBlocksTwice: result.originBlocksSentMoreThanOnce,
    originBlocksTwicePercent: (100 * result.originBlocksSentMoreThanOnce) / blocks,
    duplicateBlocks,
    duplicatePercent: (100 * duplicateBlocks) / Math.max(1, blocks * times.length),
    blocksInVain: result.blocksSentInVain,
    blocksInVainPercent: (100 * result.blocksSentInVain) / Math.max(1, result.blocksSent),
    messages: { requests: result.requests, cancels: result.cancels, announcements: result.announcements },
    schedulerSeconds: result.schedulerSeconds,
    schedulerMicrosPerBlock: (1e6 * result.schedulerSeconds) / Math.max(1, blocks * sites.length),
    realSeconds,
  }
}

function ratio(seconds: number | null, bound: number): number | null {
  return seconds === null || bound === 0 ? null : seconds / bound
}

/** More sites than these are shown by region only. */
const MAX_SITE_ROWS = 40

export function formatReport(report: SimulationReport): string {
  const { snapshotBytes, blocks, sites, messages } = report
  const many = sites.length > MAX_SITE_ROWS
  const parts = [
    `simulated: ${report.name}, ${formatCount(sites.length)} sites beside the origin, ${formatBytes(snapshotBytes)} in ${formatCount(blocks)} blocks\n`,
    ...report.notes.map((note) => `note: ${note}\n`),
    many ? regionTable(report) : siteTable(sites),
    many ? '' : wanTable(report),
    `last site, simulated    ${timeOf(report.lastSeconds)}, ${timesOf(report.lastToBound)} of the mesh's bound of ${formatSeconds(report.boundSeconds)}\n`,
    `median site, simulated  ${timeOf(report.medianSeconds)}, ${timesOf(report.medianToBound)}\n`,
    ...(report.incompleteSites === 0
      ? []
      : [`${formatCount(report.incompleteSites)} of the sites were not complete at the end (simulated)\n`]),
    `origin egress, simulated  ${report.originEgress.toFixed(3)} of the snapshot; ${formatCount(report.originBlocksTwice)} blocks left it twice (${report.originBlocksTwicePercent.toFixed(2)} %)\n`,
    ...(report.relayed === 0 ? [] : [`relayed, simulated  ${report.relayed.toFixed(3)} of the snapshot\n`]),
    `duplicates, simulated  ${formatCount(report.duplicateBlocks)} blocks (${report.duplicatePercent.toFixed(3)} %); ${formatCount(report.blocksInVain)} sent in vain (${report.blocksInVainPercent.toFixed(3)} %)\n`,
    `messages, simulated  ${formatCount(messages.requests)} requests, ${formatCount(messages.cancels)} cancelled, ${formatCount(messages.announcements)} announcements\n`,
    `real time here: ${formatSeconds(report.realSeconds)}; processor time of all schedulers ${formatSeconds(report.schedulerSeconds)}, ${report.schedulerMicrosPerBlock.toFixed(1)} us for each block at each site\n`,
  ]
  return parts.filter((part) => part !== '').join('')
}

function siteTable(sites: readonly ReportedSite[]): string {
  return formatTable(
    [
      { title: 'SITE' },
      { title: 'REGION' },
      { title: 'SIMULATED', align: 'right' },
      { title: 'BOUND', align: 'right' },
      { title: 'RATIO', align: 'right' },
    ],
    sites.map((site) => [
      site.site,
      site.region,
      site.isAlive
        ? timeOf(site.seconds)
        : site.seconds === null
          ? 'died'
          : `${timeOf(site.seconds)}, then died`,
      formatSeconds(site.boundSeconds),
      timesOf(site.toBound),
    ]),
  )
}

function wanTable(report: SimulationReport): string {
  return formatTable(
    [
      { title: 'REGION' },
      { title: 'SIMULATED WAN IN', align: 'right' },
      { title: 'SIMULATED WAN OUT', align: 'right' },
    ],
    report.regions.map(({ region, wanIn, wanOut }) => [region, wanIn.toFixed(3), wanOut.toFixed(3)]),
  )
}

function regionTable({ sites, regions }: SimulationReport): string {
  const rows = regions.map(({ region, wanIn, wanOut }) => {
    const own = sites.filter((site) => site.region === region)
    const done = own.flatMap(({ seconds }) => (seconds === null ? [] : [seconds]))
    const bound = Math.max(0, ...own.map(({ boundSeconds }) => boundSeconds))
    const last = done.length === 0 ? null : Math.max(...done)
    return [
      region,
      `${formatCount(done.length)} of ${formatCount(own.length)}`,
      timeOf(last),
      formatSeconds(bound),
      timesOf(ratio(last, bound)),
      wanIn.toFixed(3),
      wanOut.toFixed(3),
    ]
  })
  return formatTable(
    [
      { title: 'REGION' },
      { title: 'COMPLETE', align: 'right' },
      { title: 'LAST, SIMULATED', align: 'right' },
      { title: 'BOUND', align: 'right' },
      { title: 'RATIO', align: 'right' },
      { title: 'WAN IN', align: 'right' },
      { title: 'WAN OUT', align: 'right' },
    ],
    rows,
  )
}

function timeOf(seconds: number | null): string {
  return seconds === null ? 'never' : seconds < 600 ? `${seconds.toFixed(1)} s` : formatSeconds(seconds)
}

function timesOf(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(2)} x`
}
