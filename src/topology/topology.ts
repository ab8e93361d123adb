/**
 * What an admin declares of the links between the sites: rates of pipes, round trips, costs. A member's region stands
 * in its member record; this only adds to it, and every part may be left out: what is not declared is measured.
 *
 * Pure data, and look-ups that do not scan. Rates are kbit/s of IP bytes, times are whole milliseconds.
 */
import {
  checkRising,
  type Fields,
  readBoolean,
  readFields,
  readInteger,
  readList,
  readSegment,
  wrong,
} from '../base/fields.ts'
import { isSegment } from '../base/names.ts'
import type { Place } from './path-class.ts'
import { regionEnd, regionOfEnd } from './region-end.ts'
import { isSubnet } from './subnet.ts'

export { regionEnd, regionOfEnd }

export const MAX_SITES = 1000
export const MAX_REGIONS = 100
export const MAX_PATHS = 10_000
export const MAX_SUBNETS = 64
/** 10 Tbit/s. */
export const MAX_KBIT = 1e10
export const MAX_RTT_MS = 60_000
export const MAX_COST = 1_000_000

/** Of a pipe, by direction as seen from what is behind it. Absent: not known, or no limit. */
export interface Rate {
  readonly upKbit?: number
  readonly downKbit?: number
}

/** The pipe to and from other regions that all sites of a region share. */
export interface RegionLink extends Rate {
  readonly region: string
}

/** A site's own pipe, which everything that it sends and receives passes. */
export interface SiteLink extends Rate {
  readonly site: string
  /** Rising; `10.2.0.0/16`, `2001:db8::/32`. */
  readonly subnets?: readonly string[]
  /** Whether it can be dialled from outside. Absent: yes. */
  readonly isReachable?: boolean
}

export interface PathLink {
  /** Two sites, or two regions (`region:NAME` each); the lesser first. A region with itself: between its sites. */
  readonly between: readonly [string, string]
  readonly rttMs?: number
  readonly kbit?: number
  /** Of a byte, against other paths. */
  readonly cost?: number
}

/** Each list rises strictly: there is one way to write a topology. */
export interface Topology {
  readonly regions: readonly RegionLink[]
  readonly sites: readonly SiteLink[]
  readonly paths: readonly PathLink[]
}

export const NO_TOPOLOGY: Topology = { regions: [], sites: [], paths: [] }

export const TOPOLOGY_FIELDS = ['regions', 'sites', 'paths'] as const

/** @throws MirrorError `corrupt` naming the field */
export function decodeTopology(value: unknown): Topology {
  return readTopology(readFields(value, 'topology', TOPOLOGY_FIELDS))
}

/** The topology's own fields of a map that may have others. @throws MirrorError `corrupt` naming the field */
export function readTopology(fields: Fields): Topology {
  const regions = readList(fields, 'regions', { max: MAX_REGIONS }, readRegion)
  const sites = readList(fields, 'sites', { max: MAX_SITES }, readSite)
  const paths = readList(fields, 'paths', { max: MAX_PATHS }, readPath)
  checkRising(regions, (a, b) => compareText(a.region, b.region), 'regions')
  checkRising(sites, (a, b) => compareText(a.site, b.site), 'sites')
  checkRising(paths, comparePaths, 'paths')
  return { regions, sites, paths }
}

/** In the order in which a topology lists them. */
export function comparePaths(a: PathLink, b: PathLink): number {
  return compareText(a.between[0], b.between[0]) || compareText(a.between[1], b.between[1])
}

/** The region's WAN pipe. */
export function regionRate(topology: Topology, region: string): Rate {
  return indexOf(topology).regions.get(region) ?? UNKNOWN
}

/** The site's own pipe. */
export function siteRate(topology: Topology, site: string): Rate {
  return indexOf(topology).sites.get(site) ?? UNKNOWN
}

export function siteLink(topology: Topology, site: string): SiteLink | undefined {
  return indexOf(topology).sites.get(site)
}

/** False only where the topology says that the site cannot be dialled from outside. */
export function isReachable(topology: Topology, site: string): boolean {
  return siteLink(topology, site)?.isReachable !== false
}

/** What is declared of the path between two places: that of the sites, else that of their regions, else nothing. */
export function pathBetween(topology: Topology, a: Place, b: Place): PathLink | undefined {
  const { paths } = indexOf(topology)
  if (paths.size === 0) return undefined
  return paths.get(pairKey(a.site, b.site)) ?? paths.get(pairKey(regionEnd(a.region), regionEnd(b.region)))
}

/** The narrowest pipe that is declared on the way from one region to another; undefined where nothing is said of their WAN. */
export function wayKbit(topology: Topology, from: Place, to: Place): number | undefined {
  const wan = [
    regionRate(topology, from.region).upKbit,
    regionRate(topology, to.region).downKbit,
    pathBetween(topology, from, to)?.kbit,
  ].filter((rate) => rate !== undefined)
  if (wan.length === 0) return undefined
  const own = [siteRate(topology, from.site).upKbit, siteRate(topology, to.site).downKbit]
  return Math.min(...wan, ...own.filter((rate) => rate !== undefined))
}

interface Index {
  readonly regions: ReadonlyMap<string, RegionLink>
  readonly sites: ReadonlyMap<string, SiteLink>
  readonly paths: ReadonlyMap<string, PathLink>
}

const UNKNOWN: Rate = {}
const indexes = new WeakMap<Topology, Index>()

/** Made at the first look-up; a topology does not change. */
function indexOf(topology: Topology): Index {
  let index = indexes.get(topology)
  if (index === undefined) {
    index = {
      regions: new Map(topology.regions.map((link) => [link.region, link])),
      sites: new Map(topology.sites.map((link) => [link.site, link])),
      paths: new Map(topology.paths.map((link) => [pairKey(...link.between), link])),
    }
    indexes.set(topology, index)
  }
  return index
}

function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}

function readRegion(value: unknown): RegionLink {
  const fields = readFields(value, 'a region', ['region'], ['upKbit', 'downKbit'])
  return { region: readSegment(fields, 'region'), ...readRate(fields) }
}

function readSite(value: unknown): SiteLink {
  const fields = readFields(value, 'a site', ['site'], ['upKbit', 'downKbit', 'subnets', 'isReachable'])
  const subnets =
    fields.subnets === undefined
      ? undefined
      : readList(fields, 'subnets', { min: 1, max: MAX_SUBNETS }, readSubnet)
  if (subnets !== undefined) checkRising(subnets, compareText, 'subnets')
  return {
    site: readSegment(fields, 'site'),
    ...readRate(fields),
    ...(subnets === undefined ? {} : { subnets }),
    ...(fields.isReachable === undefined ? {} : { isReachable: readBoolean(fields, 'isReachable') }),
  }
}

function readPath(value: unknown): PathLink {
  const fields = readFields(value, 'a path', ['between'], ['rttMs', 'kbit', 'cost'])
  const [a, b] = readList(fields, 'between', { min: 2, max: 2 }, readEnd) as [string, string]
  if ((regionOfEnd(a) === undefined) !== (regionOfEnd(b) === undefined))
    throw wrong('between', 'names a site and a region: a path is between two sites or two regions')
  if (a > b || (a === b && regionOfEnd(a) === undefined))
    throw wrong('between', 'is not two names, the lesser first')
  return {
    between: [a, b],
    ...optionalInteger(fields, 'rttMs', 1, MAX_RTT_MS),
    ...optionalInteger(fields, 'kbit', 1, MAX_KBIT),
    ...optionalInteger(fields, 'cost', 0, MAX_COST),
  }
}

function readEnd(value: unknown): string {
  if (typeof value === 'string' && isSegment(regionOfEnd(value) ?? value)) return value
  throw wrong('between', 'is not a site or region:NAME')
}

function readSubnet(value: unknown): string {
  if (typeof value === 'string' && isSubnet(value)) return value
  throw wrong('subnets', 'holds what is not a subnet, such as 10.2.0.0/16, without bits behind its length')
}

function readRate(fields: Fields): Rate {
  return {
    ...optionalInteger(fields, 'upKbit', 1, MAX_KBIT),
    ...optionalInteger(fields, 'downKbit', 1, MAX_KBIT),
  }
}

function optionalInteger<K extends string>(
  fields: Fields,
  name: K,
  min: number,
  max: number,
): { readonly [N in K]?: number } {
  if (fields[name] === undefined) return {}
  return { [name]: readInteger(fields, name, { min, max }) } as { readonly [N in K]?: number }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
