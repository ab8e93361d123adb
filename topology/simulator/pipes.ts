/**
 * The pipes of a simulated network: each is first in, first out, with a rate. A site has one in each direction, and so
 * has a region towards the others; a path has one when it was given a rate.
 */
import type { Place } from '../../src/topology/path-class.ts'
import { pathBetween, regionOfEnd, regionRate, siteRate, type Topology } from '../../src/topology/topology.ts'

/** What holds where the topology declares nothing. */
export interface LinkDefaults {
  /** Of a region's pipe, in each direction. */
  readonly wanBytesPerSecond: number
  /** Of a site's own pipe, in each direction. */
  readonly lanBytesPerSecond: number
  readonly wanRttMs: number
  readonly lanRttMs: number
}

export interface Pipe {
  /** Infinity: no limit. */
  bytesPerMs: number
  /** When the last byte of what it has taken in is out. */
  freeMs: number
  /** Flows that have something to send through it: each gets its share. */
  flows: number
  bytes: number
}

export interface Pipes {
  /** In the order in which bytes pass them. Pipes without a limit are left out. */
  route(from: Place, to: Place): readonly Pipe[]
  rttMs(a: Place, b: Place): number
  siteUp(site: string): Pipe
  siteDown(site: string): Pipe
}

export function createPipes(topology: Topology, defaults: LinkDefaults): Pipes {
  const pipes = new Map<string, Pipe>()

  function pipe(name: string, bytesPerSecond: number): Pipe {
    let found = pipes.get(name)
    if (found === undefined) {
      found = { bytesPerMs: bytesPerSecond / 1000, freeMs: 0, flows: 0, bytes: 0 }
      pipes.set(name, found)
    }
    return found
  }

  const siteUp = (site: string): Pipe =>
    pipe(`site ${site} up`, bytesOf(siteRate(topology, site).upKbit) ?? defaults.lanBytesPerSecond)
  const siteDown = (site: string): Pipe =>
    pipe(`site ${site} down`, bytesOf(siteRate(topology, site).downKbit) ?? defaults.lanBytesPerSecond)
  const regionUp = (region: string): Pipe =>
    pipe(`region ${region} up`, bytesOf(regionRate(topology, region).upKbit) ?? defaults.wanBytesPerSecond)
  const regionDown = (region: string): Pipe =>
    pipe(
      `region ${region} down`,
      bytesOf(regionRate(topology, region).downKbit) ?? defaults.wanBytesPerSecond,
    )

  /** A rate of two regions is shared by all their sites, in each direction. */
  function pathPipe(from: Place, to: Place): Pipe[] {
    const path = pathBetween(topology, from, to)
    const bytes = bytesOf(path?.kbit)
    if (path === undefined || bytes === undefined) return []
    const isOfRegions = regionOfEnd(path.between[0]) !== undefined
    return [pipe(isOfRegions ? `path ${from.region} ${to.region}` : `pair ${from.site} ${to.site}`, bytes)]
  }

  return {
    siteUp,
    siteDown,
    route(from, to) {
      const isFar = from.region !== to.region
      return [
        siteUp(from.site),
        ...(isFar ? [regionUp(from.region)] : []),
        ...pathPipe(from, to),
        ...(isFar ? [regionDown(to.region)] : []),
        siteDown(to.site),
      ]
    },
    rttMs(a, b) {
      const declared = pathBetween(topology, a, b)?.rttMs
      return declared ?? (a.region === b.region ? defaults.lanRttMs : defaults.wanRttMs)
    },
  }
}

function bytesOf(kbit: number | undefined): number | undefined {
  return kbit === undefined ? undefined : (kbit * 1000) / 8
}
