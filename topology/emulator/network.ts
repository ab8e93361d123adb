/**
 * What the emulator is told to be: pipes, sites and routes by number, from a mesh and its topology. Pure.
 *
 *     site's pipe up -> region's pipe up* -> path -> losses, delay -> region's pipe down* -> site's pipe down
 *     * only between regions
 *
 * A path between two regions is one pipe in each direction for all their sites; one that is declared between two sites
 * is theirs alone.
 */
import { MirrorError } from '../../src/base/errors.ts'
import type { Place } from '../../src/topology/path-class.ts'
import { pathBetween, regionOfEnd, regionRate, siteRate, type Topology } from '../../src/topology/topology.ts'

export const MAX_EMULATED_SITES = 256
const MAX_PIPES = 4096
/** Of a site's own pipe, where the topology declares none. */
export const DEFAULT_SITE_KBIT = 1_000_000

/** How long a full queue takes to empty, at most 2.5 MB and at least 64 KiB of it. */
const QUEUE_MS = 100
const MAX_QUEUE_BYTES = 2_500_000
const MIN_QUEUE_BYTES = 65_536

export interface MeshToEmulate {
  readonly name: string
  readonly origin: string
  readonly topology: Topology
  readonly places: readonly Place[]
  /** Where the topology declares no round trip. */
  readonly lanRttMs: number
  readonly wanRttMs: number
}

export interface NetworkSite extends Place {
  /** IPv4. */
  readonly address: string
}

export interface NetworkPipe {
  /** `site hq up`, `region us down`, `path us eu`. */
  readonly name: string
  /** 0: no limit. */
  readonly kbit: number
  readonly queueBytes: number
}

/** Of the packets from one site to another. Numbers are places in the lists. */
export interface NetworkRoute {
  readonly from: number
  readonly to: number
  readonly delayUs: number
  readonly lossPpm: number
  readonly before: readonly number[]
  readonly after: readonly number[]
}

export interface Network {
  readonly name: string
  readonly origin: string
  readonly sites: readonly NetworkSite[]
  readonly pipes: readonly NetworkPipe[]
  readonly routes: readonly NetworkRoute[]
}

/** @throws MirrorError `limit` for more than one machine emulates */
export function planNetwork(mesh: MeshToEmulate): Network {
  const { topology, places } = mesh
  const regions = [...new Set(places.map(({ region }) => region))]
  if (places.length > MAX_EMULATED_SITES || regions.length > 255)
    throw new MirrorError('limit', `${mesh.name} has ${places.length} sites in ${regions.length} regions`, {
      hint: `${MAX_EMULATED_SITES} sites in 255 regions are the most; simulate it instead.`,
    })
  const pipes: NetworkPipe[] = []
  const numbers = new Map<string, number>()

  function pipe(name: string, kbit: number): number {
    let number = numbers.get(name)
    if (number === undefined) {
      number = pipes.push(pipeOf(name, kbit)) - 1
      numbers.set(name, number)
    }
    return number
  }

  const sitePipe = ({ site }: Place, direction: 'up' | 'down'): number =>
    pipe(
      `site ${site} ${direction}`,
      siteRate(topology, site)[direction === 'up' ? 'upKbit' : 'downKbit'] ?? DEFAULT_SITE_KBIT,
    )
  const regionPipe = ({ region }: Place, direction: 'up' | 'down'): number =>
    pipe(
      `region ${region} ${direction}`,
      regionRate(topology, region)[direction === 'up' ? 'upKbit' : 'downKbit'] ?? 0,
    )

  const routes: NetworkRoute[] = []
  for (const [from, a] of places.entries())
    for (const [to, b] of places.entries()) {
      if (from === to) continue
      const isWan = a.region !== b.region
      const declared = pathBetween(topology, a, b)
      const isOwn = declared !== undefined && regionOfEnd(declared.between[0]) === undefined
      const path = isOwn ? pathName(a.site, b.site) : pathName(a.region, b.region)
      const rttMs = declared?.rttMs ?? (isWan ? mesh.wanRttMs : mesh.lanRttMs)
      routes.push({
        from,
        to,
        delayUs: Math.round(rttMs * 500),
        lossPpm: 0,
        before: [
          sitePipe(a, 'up'),
          ...(isWan ? [regionPipe(a, 'up')] : []),
          pipe(isOwn ? `${path} (sites)` : path, declared?.kbit ?? 0),
        ],
        after: [...(isWan ? [regionPipe(b, 'down')] : []), sitePipe(b, 'down')],
      })
    }
  if (pipes.length > MAX_PIPES)
    throw new MirrorError('limit', `${mesh.name} has ${pipes.length} pipes: ${MAX_PIPES} are the most`)
  return { name: mesh.name, origin: mesh.origin, sites: addressed(places, regions), pipes, routes }
}

export function pipeOf(name: string, kbit: number): NetworkPipe {
  // kbit/s times ms is bits.
  const bytes = Math.round((kbit * QUEUE_MS) / 8)
  return { name, kbit, queueBytes: Math.max(MIN_QUEUE_BYTES, Math.min(MAX_QUEUE_BYTES, bytes)) }
}

export function pathName(from: string, to: string): string {
  return `path ${from} ${to}`
}

/** Places in the list of sites that an end names: a site, a region as `region:NAME` or, where no site is called so, by its name. */
export function sitesOfEnd(network: Network, end: string): number[] {
  const numbered = [...network.sites.entries()]
  const named = numbered.filter(([, { site }]) => site === end)
  const region = regionOfEnd(end) ?? end
  const found = named.length > 0 ? named : numbered.filter((each) => each[1].region === region)
  if (found.length > 0) return found.map(([number]) => number)
  throw new MirrorError('not-found', `${network.name} has no site and no region ${JSON.stringify(end)}`, {
    facts: { end },
  })
}

/** 10.83.R.S: the region's number and the site's within it, from 1. */
function addressed(places: readonly Place[], regions: readonly string[]): NetworkSite[] {
  const count = new Map<string, number>()
  return places.map(({ site, region }) => {
    const number = (count.get(region) ?? 0) + 1
    count.set(region, number)
    if (number > 254) throw new MirrorError('limit', `the region ${region} has more than 254 sites`)
    return { site, region, address: `10.83.${regions.indexOf(region) + 1}.${number}` }
  })
}
