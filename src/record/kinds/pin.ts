/**
 * pin: the wish of an admin, or of an operator, that trees are kept at sites.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | class | 'urgent' | optional: fetched before all others, and caps on rates do not hold it up |
 * | checkout | text, absolute path, <= 4095 bytes | optional: the sites also keep the newest complete snapshot as plain files there |
 * | copies | int, 2-16 | optional: so many sites are to hold each of the snapshots that stay, and to have shown it; no site collects below that |
 * | keep | {days?: int 1-36500, last?: int 1-10000} | optional: which complete snapshots stay at the sites, instead of each site's own setting |
 * | name | text, 1-256 | what a later version replaces; `pinName` makes the usual one |
 * | paths | {exclude: [text], include: [text]} | optional: only what lies at or below an included path (any, when there is none) and no excluded one; each list rises strictly, 1 to 64 paths together |
 * | priority | int, 1-9 | optional, 5 when absent: the higher is fetched first |
 * | removed | bool | a tombstone |
 * | sites | {all: true}, {label: text}, {region: text} or {site: text} | where |
 * | tree | text | a tree's name, or a pattern: `*` within a segment, `**` for any segments |
 * | version | int >= 1 | the highest counts |
 * | versions | int, 1-100 | optional, with checkout: that many of the newest lie there side by side, with a link `latest` |
 *
 * A node that does not know a field ignores the whole pin rather than keep the wrong thing.
 */
import { isTreePattern, matchesTree } from '../../base/names.ts'
import { isFilterPath, MAX_FILTER_PATHS, type PathRule } from '../../base/path-filter.ts'
import {
  checkRising,
  readBoolean,
  readFields,
  readInteger,
  readList,
  readSegment,
  readText,
  wrong,
} from '../fields.ts'

export type PinSites =
  | { readonly all: true }
  | { readonly label: string }
  | { readonly region: string }
  | { readonly site: string }

/** A site as a pin may name it; `placeOf` makes one of a member. */
export interface LabelledPlace {
  readonly site: string
  readonly region: string
  readonly labels: readonly string[]
}

export interface PinBody {
  readonly name: string
  readonly tree: string
  readonly sites: PinSites
  /** Absolute path of a directory at each of the sites. */
  readonly checkout?: string
  /** The directory is one of versions, of which so many stay. */
  readonly versions?: number
  readonly keep?: PinKeep
  /** The least number of verified copies in the mesh. */
  readonly copies?: number
  /** Of the trees, only this part. */
  readonly paths?: PathRule
  /** USUAL_PRIORITY when absent; the higher is fetched first. */
  readonly priority?: number
  readonly class?: 'urgent'
  readonly version: number
  readonly removed: boolean
}

/** At least one of them. A snapshot stays when either asks for it. */
export interface PinKeep {
  /** The newest that are complete. */
  readonly last?: number
  /** Those that were published within so many days. */
  readonly days?: number
}

export const USUAL_PRIORITY = 5
export const MAX_PRIORITY = 9
/** Of one copy nobody but its holder could tell. */
export const MIN_COPIES = 2
export const MAX_COPIES = 16
export const MAX_KEEP_LAST = 10_000
export const MAX_KEEP_DAYS = 36_500

/** Each is a whole tree. */
export const MAX_VERSIONS = 100

export function decodePin(value: unknown): PinBody {
  const fields = readFields(
    value,
    'pin',
    ['name', 'tree', 'sites', 'version', 'removed'],
    ['checkout', 'class', 'copies', 'keep', 'paths', 'priority', 'versions'],
  )
  if (!isTreePattern(fields.tree)) throw wrong('tree', "is not a tree's name or pattern")
  return {
    name: readText(fields, 'name', 256),
    tree: fields.tree,
    sites: readSites(fields.sites),
    ...(fields.checkout === undefined ? {} : { checkout: readPath(fields.checkout) }),
    ...(fields.versions === undefined ? {} : { versions: readVersions(fields) }),
    ...(fields.keep === undefined ? {} : { keep: readKeep(fields.keep) }),
    ...(fields.copies === undefined
      ? {}
      : { copies: readInteger(fields, 'copies', { min: MIN_COPIES, max: MAX_COPIES }) }),
    ...(fields.paths === undefined ? {} : { paths: readPaths(fields.paths) }),
    ...(fields.priority === undefined
      ? {}
      : { priority: readInteger(fields, 'priority', { min: 1, max: MAX_PRIORITY }) }),
    ...(fields.class === undefined ? {} : { class: readClass(fields.class) }),
    version: readInteger(fields, 'version', { min: 1 }),
    removed: readBoolean(fields, 'removed'),
  }
}

/** The usual name of a pin: one for each pair of tree and place. */
export function pinName(tree: string, sites: PinSites): string {
  if ('all' in sites) return `${tree}@all`
  if ('label' in sites) return `${tree}@label:${sites.label}`
  return 'region' in sites ? `${tree}@region:${sites.region}` : `${tree}@site:${sites.site}`
}

/** Whether the pin asks `place` to keep the tree. */
export function pinCovers(pin: PinBody, tree: string, place: LabelledPlace): boolean {
  return !pin.removed && matchesTree(pin.tree, tree) && coversPlace(pin.sites, place)
}

export function coversPlace(sites: PinSites, { site, region, labels }: LabelledPlace): boolean {
  if ('all' in sites) return true
  if ('label' in sites) return labels.includes(sites.label)
  return 'region' in sites ? sites.region === region : sites.site === site
}

function readPaths(value: unknown): PathRule {
  const fields = readFields(value, 'paths', ['exclude', 'include'])
  const read = (name: 'exclude' | 'include'): string[] => {
    const list = readList(fields, name, { max: MAX_FILTER_PATHS }, (path) => {
      if (!isFilterPath(path)) throw wrong(name, 'holds what is no path of names joined by slashes')
      return path
    })
    checkRising(list, (a, b) => (a < b ? -1 : a > b ? 1 : 0), name)
    return list
  }
  const rule = { include: read('include'), exclude: read('exclude') }
  const count = rule.include.length + rule.exclude.length
  if (count < 1 || count > MAX_FILTER_PATHS)
    throw wrong('paths', `names none, or over ${MAX_FILTER_PATHS} paths`)
  return rule
}

function readClass(value: unknown): 'urgent' {
  if (value !== 'urgent') throw wrong('class', 'is not one that this version knows')
  return value
}

function readSites(value: unknown): PinSites {
  const fields = readFields(value, 'sites', [], ['all', 'label', 'region', 'site'])
  if (Object.keys(fields).length !== 1) throw wrong('sites', 'must name one of all, label, region and site')
  if (fields.all === true) return { all: true }
  if (fields.label !== undefined) return { label: readSegment(fields, 'label') }
  return fields.region === undefined
    ? { site: readSegment(fields, 'site') }
    : { region: readSegment(fields, 'region') }
}

export function readKeep(value: unknown): PinKeep {
  const fields = readFields(value, 'keep', [], ['days', 'last'])
  if (Object.keys(fields).length === 0) throw wrong('keep', 'names none of days and last')
  return {
    ...(fields.last === undefined
      ? {}
      : { last: readInteger(fields, 'last', { min: 1, max: MAX_KEEP_LAST }) }),
    ...(fields.days === undefined
      ? {}
      : { days: readInteger(fields, 'days', { min: 1, max: MAX_KEEP_DAYS }) }),
  }
}

function readVersions(fields: Record<string, unknown>): number {
  if (fields.checkout === undefined) throw wrong('versions', 'needs a checkout')
  return readInteger(fields, 'versions', { min: 1, max: MAX_VERSIONS })
}

function readPath(value: unknown): string {
  if (
    typeof value !== 'string' ||
    !value.startsWith('/') ||
    value.includes('\0') ||
    Buffer.byteLength(value) > 4095
  ) {
    throw wrong('checkout', 'is not an absolute path')
  }
  if (value.split('/').some((part) => part === '..' || part === '.'))
    throw wrong('checkout', 'holds "." or ".."')
  return value
}
