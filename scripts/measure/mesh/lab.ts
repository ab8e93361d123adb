/**
 * The links that systems are measured on: the project's own emulator, or another one that is driven by a command (the
 * referee). Both count what passes their pipes, headers included.
 */
import { execFile, execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { MirrorError } from '../../../src/base/errors.ts'
import { regionOfEnd } from '../../../src/topology/topology.ts'
import { startEmulator } from '../../../topology/emulator/emulator.ts'
import { DEFAULT_SITE_KBIT, planNetwork } from '../../../topology/emulator/network.ts'
import type { Scenario } from '../../../topology/scenario.ts'

export interface Lab {
  readonly name: 'emulator' | 'referee'
  readonly scenario: Scenario
  /** IPv4. */
  addressOf(site: string): string
  /** The command that runs another at a site. It becomes that other: the same process. */
  argumentsAt(site: string, command: readonly string[]): string[]
  /** Since the start of the lab. */
  traffic(): Promise<LinkTraffic>
  /** Ends what runs at the sites, too. */
  remove(): Promise<void>
}

export interface LinkTraffic {
  /** Bytes through each site's own pipe, outwards. */
  readonly siteUp: Readonly<Record<string, number>>
  /** Bytes through the pipe that a region shares. */
  readonly regionUp: Readonly<Record<string, number>>
  readonly regionDown: Readonly<Record<string, number>>
  /** Bytes that left one site for another, as `FROM TO`. */
  readonly pairs: Readonly<Record<string, number>>
  readonly packets: number
  /** Packets times microseconds that they were late by. */
  readonly lateUs: number
  readonly lateOver5ms: number
}

/** What passed from one reading to another. */
export function trafficBetween(before: LinkTraffic, after: LinkTraffic): LinkTraffic {
  const part = (name: 'siteUp' | 'regionUp' | 'regionDown' | 'pairs'): Record<string, number> =>
    Object.fromEntries(
      Object.entries(after[name]).map(([key, bytes]) => [key, bytes - (before[name][key] ?? 0)]),
    )
  return {
    siteUp: part('siteUp'),
    regionUp: part('regionUp'),
    regionDown: part('regionDown'),
    pairs: part('pairs'),
    packets: after.packets - before.packets,
    lateUs: after.lateUs - before.lateUs,
    lateOver5ms: after.lateOver5ms - before.lateOver5ms,
  }
}

export async function startEmulatedLab(scenario: Scenario): Promise<Lab> {
  const emulator = await startEmulator(planNetwork(scenario))
  return {
    name: 'emulator',
    scenario,
    addressOf: (site) => emulator.site(site).address,
    argumentsAt: (site, command) => emulator.argumentsAt(site, command),
    async traffic() {
      const { pipes, pairs, lateness } = await emulator.counters()
      const bytes = (owner: 'site' | 'region', direction: 'up' | 'down'): Record<string, number> =>
        Object.fromEntries(
          [...new Set(scenario.places.map((place) => place[owner]))].map((name) => [
            name,
            pipes[`${owner} ${name} ${direction}`]?.bytes ?? 0,
          ]),
        )
      return {
        siteUp: bytes('site', 'up'),
        regionUp: bytes('region', 'up'),
        regionDown: bytes('region', 'down'),
        pairs: Object.fromEntries(pairs.map(({ from, to, sentBytes }) => [`${from} ${to}`, sentBytes])),
        packets: lateness.packets,
        lateUs: lateness.meanUs * lateness.packets,
        lateOver5ms: lateness.over5ms,
      }
    },
    remove: () => emulator.remove(),
  }
}

/** The part of the referee's counters that is read. */
interface RefereeCounters {
  readonly sites: Readonly<Record<string, { readonly up: { readonly tx_bytes: number } }>>
  readonly regions: Readonly<
    Record<
      string,
      { readonly up: { readonly tx_bytes: number }; readonly down: { readonly tx_bytes: number } }
    >
  >
  readonly pairs: readonly { readonly src: string; readonly dst: string; readonly tx_bytes: number }[]
  readonly emulator: {
    readonly delivered: number
    readonly late_avg_ms: number
    readonly late_over_5ms: number
  }
}

/** @param command the words of MIRRORMESH_REFEREE */
export async function startRefereeLab(
  scenario: Scenario,
  command: readonly string[],
  folder: string,
): Promise<Lab> {
  const run = async (...words: readonly string[]): Promise<string> => {
    const [program, ...rest] = [...command, ...words]
    try {
      return (await promisify(execFile)(program!, rest, { maxBuffer: 64 * 1024 * 1024 })).stdout
    } catch (error) {
      const { stderr = '' } = error as { stderr?: string }
      throw new MirrorError(
        'io',
        `the referee's ${words[0]} failed: ${stderr.trim() || (error as Error).message}`,
      )
    }
  }
  const argumentsAt = (site: string, words: readonly string[]): string[] => [
    ...command,
    'exec',
    site,
    '--',
    ...words,
  ]
  const file = join(folder, `${scenario.name}.json`)
  writeFileSync(file, JSON.stringify(refereeFile(scenario), null, 2))
  await run('up', file)
  const remove = async (): Promise<void> => {
    await run('down')
  }
  try {
    const addresses = new Map(
      scenario.places.map(({ site }) => {
        const [program, ...rest] = argumentsAt(site, ['ip', '-json', '-4', 'addr', 'show', 'scope', 'global'])
        const links = JSON.parse(execFileSync(program!, rest, { encoding: 'utf8' })) as {
          addr_info?: { local: string }[]
        }[]
        const address = links.flatMap((link) => link.addr_info ?? [])[0]?.local
        if (address === undefined) throw new MirrorError('io', `the referee's site ${site} has no address`)
        return [site, address] as const
      }),
    )
    return {
      name: 'referee',
      scenario,
      addressOf: (site) => addresses.get(site)!,
      argumentsAt,
      async traffic() {
        const { sites, regions, pairs, emulator } = JSON.parse(
          await run('counters', '--json'),
        ) as RefereeCounters
        const each = <T>(of: Readonly<Record<string, T>>, read: (one: T) => number): Record<string, number> =>
          Object.fromEntries(Object.entries(of).map(([name, one]) => [name, read(one)]))
        return {
          siteUp: each(sites, ({ up }) => up.tx_bytes),
          regionUp: each(regions, ({ up }) => up.tx_bytes),
          regionDown: each(regions, ({ down }) => down.tx_bytes),
          pairs: Object.fromEntries(pairs.map(({ src, dst, tx_bytes }) => [`${src} ${dst}`, tx_bytes])),
          packets: emulator.delivered,
          lateUs: emulator.late_avg_ms * 1000 * emulator.delivered,
          lateOver5ms: emulator.late_over_5ms,
        }
      },
      remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** A topology as the referee reads it: Mbit/s, and 0 for no limit. */
function refereeFile(scenario: Scenario): unknown {
  const { topology, places, origin, name, lanRttMs, wanRttMs } = scenario
  const rates = ({ upKbit, downKbit }: { upKbit?: number; downKbit?: number }): object => ({
    ...(upKbit === undefined ? {} : { up_mbit: upKbit / 1000 }),
    ...(downKbit === undefined ? {} : { down_mbit: downKbit / 1000 }),
  })
  const rest = ({ rttMs, kbit }: { rttMs?: number; kbit?: number }): object => ({
    ...(rttMs === undefined ? {} : { rtt_ms: rttMs }),
    ...(kbit === undefined ? {} : { mbit: kbit / 1000 }),
  })
  const links = new Map(topology.sites.map((link) => [link.site, link]))
  const regions = new Map(topology.regions.map((link) => [link.region, link]))
  const site = DEFAULT_SITE_KBIT / 1000
  return {
    name,
    origin,
    defaults: {
      access: { up_mbit: site, down_mbit: site },
      intra: { rtt_ms: lanRttMs },
      inter: { rtt_ms: wanRttMs },
    },
    regions: Object.fromEntries(
      [...new Set(places.map(({ region }) => region))].map((region) => [
        region,
        rates(regions.get(region) ?? {}),
      ]),
    ),
    between: topology.paths
      .filter(({ between: [a] }) => regionOfEnd(a) !== undefined)
      .map((path) => ({ regions: path.between.map((end) => regionOfEnd(end)), ...rest(path) })),
    sites: Object.fromEntries(
      places.map((place) => {
        const link = links.get(place.site)
        // Its narrow links have the deep queue of a wide-area one.
        const isNarrow = (link?.upKbit ?? DEFAULT_SITE_KBIT) < DEFAULT_SITE_KBIT / 4
        return [
          place.site,
          { region: place.region, ...rates(link ?? {}), ...(isNarrow ? { queue_ms: 100 } : {}) },
        ]
      }),
    ),
    pairs: topology.paths
      .filter(({ between: [a] }) => regionOfEnd(a) === undefined)
      .map((path) => ({ sites: path.between, ...rest(path) })),
  }
}
