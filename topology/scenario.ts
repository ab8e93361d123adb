/** What is simulated: a mesh, its links, and what happens there, read from a topology file or one of the emulator's. */
import { readFile } from 'node:fs/promises'
import type { FileEvent } from '../node/topology/file-events.ts'
import { parseTopologyFile, type TopologyFile } from '../node/topology/read-file.ts'
import { asMirrorError, MirrorError } from '../src/base/errors.ts'
import type { Place } from '../src/topology/path-class.ts'
import { regionOfEnd, type Topology } from '../src/topology/topology.ts'
import { isEmulatorFile, readEmulatorFile } from './emulator-file.ts'
import type { SimulatedEvent, SimulatedSite } from './simulator.ts'

export interface Scenario {
  readonly name: string
  readonly origin: string
  readonly topology: Topology
  readonly places: readonly Place[]
  readonly events: readonly FileEvent[]
  /** Where the topology declares no round trip. */
  readonly lanRttMs: number
  readonly wanRttMs: number
  /** What the file says and the simulation leaves out. */
  readonly notes: readonly string[]
}

export const DEFAULT_LAN_RTT_MS = 1
export const DEFAULT_WAN_RTT_MS = 80

/** @throws MirrorError `invalid` for a file that cannot be simulated, `not-found` when it is not there */
export async function readScenario(file: string): Promise<Scenario> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw asMirrorError(error, `read the topology file ${file}`)
  }
  return checked(parseScenario(text, file), file)
}

function parseScenario(text: string, file: string): Scenario {
  if (text.trimStart().startsWith('{')) {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      // YAML may begin like this, too.
      value = undefined
    }
    if (isEmulatorFile(value)) return readEmulatorFile(value, file)
  }
  return fromTopologyFile(parseTopologyFile(text, file), file)
}

function fromTopologyFile(
  { topology, regionOf, madeUp, origin, events }: TopologyFile,
  file: string,
): Scenario {
  if (origin === undefined)
    throw new MirrorError('invalid', `${file} does not say which site publishes`, {
      hint: 'Add a line such as "origin: hq".',
    })
  const places = [...regionOf].map(([site, region]): Place => ({ site, region }))
  for (const [region, count] of madeUp)
    for (let number = 1; number <= count; number++) {
      const site = `${region}-${number}`
      if (!regionOf.has(site)) places.push({ site, region })
    }
  for (const { site } of topology.sites)
    if (!regionOf.has(site))
      throw new MirrorError('invalid', `${file}: the site ${site} has no region`, {
        hint: `A simulation needs one: ${site}: { region: NAME }.`,
      })
  return {
    name: file.replace(/^.*\//, '').replace(/\.[a-z]+$/, ''),
    origin,
    topology,
    places,
    events,
    lanRttMs: DEFAULT_LAN_RTT_MS,
    wanRttMs: DEFAULT_WAN_RTT_MS,
    notes: [],
  }
}

function checked(scenario: Scenario, file: string): Scenario {
  const sites = new Set(scenario.places.map(({ site }) => site))
  const regions = new Set(scenario.places.map(({ region }) => region))
  const unknown = (what: string): MirrorError => new MirrorError('invalid', `${file}: there is no ${what}`)
  if (!sites.has(scenario.origin)) throw unknown(`site ${scenario.origin}, the origin`)
  if (sites.size < 2) throw new MirrorError('invalid', `${file}: a simulation takes two sites or more`)
  for (const event of scenario.events) {
    if ('site' in event && !sites.has(event.site)) throw unknown(`site ${event.site}`)
    for (const end of 'between' in event ? (event.between ?? []) : []) {
      const region = end === undefined ? undefined : regionOfEnd(end)
      if (region !== undefined && !regions.has(region)) throw unknown(`region ${region}`)
      if (region === undefined && end !== undefined && !sites.has(end)) throw unknown(`site ${end}`)
    }
  }
  return scenario
}

/** The same with another rate of every region's pipe, and of the origin's. */
export function withPipes(scenario: Scenario, kbit: number): Scenario {
  const both = { upKbit: kbit, downKbit: kbit }
  const names = [...new Set(scenario.places.map(({ region }) => region))].sort()
  const { sites } = scenario.topology
  const origin = { ...sites.find(({ site }) => site === scenario.origin), site: scenario.origin, ...both }
  return {
    ...scenario,
    topology: {
      ...scenario.topology,
      regions: names.map((region) => ({ region, ...both })),
      sites: [...sites.filter(({ site }) => site !== scenario.origin), origin].sort((a, b) =>
        a.site < b.site ? -1 : 1,
      ),
    },
  }
}

/** A site whose first event is a join is no member before. */
export function simulatedSites({ places, origin, events }: Scenario): SimulatedSite[] {
  const first = new Map<string, FileEvent>()
  for (const event of events.toSorted((a, b) => a.atMs - b.atMs))
    if ('site' in event && event.kind !== 'rate' && event.kind !== 'pause' && !first.has(event.site))
      first.set(event.site, event)
  return places.map(({ site, region }): SimulatedSite => {
    const event = first.get(site)
    return {
      site,
      region,
      ...(site === origin ? { isOrigin: true } : {}),
      ...(event?.kind === 'join' ? { joinsMs: event.atMs } : {}),
    }
  })
}

export function simulatedEvents({ events }: Scenario): SimulatedEvent[] {
  return events.flatMap((event): SimulatedEvent[] => {
    if (event.kind === 'cut' || event.kind === 'heal' || event.kind === 'pause') return [event]
    const { atMs, site } = event
    if (event.kind === 'join') return []
    if (event.kind !== 'rate') return [{ atMs, kind: event.kind, site }]
    const { kind, upKbit, downKbit } = event
    return [
      {
        atMs,
        kind,
        site,
        ...(upKbit === undefined ? {} : { upBytesPerSecond: upKbit * 125 }),
        ...(downKbit === undefined ? {} : { downBytesPerSecond: downKbit * 125 }),
      },
    ]
  })
}
