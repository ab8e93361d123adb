/**
 * Reads a topology file: YAML or JSON, with units as people write them (docs/operating.md), or the lists that
 * `topology show --json` prints. The same file can be given to the simulator, which also reads where the sites are,
 * who publishes, and what happens when.
 */
import { readFile } from 'node:fs/promises'
import { isNode, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { asMirrorError, isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { isSegment } from '../../src/base/names.ts'
import {
  comparePaths,
  decodeTopology,
  type PathLink,
  type RegionLink,
  regionEnd,
  regionOfEnd,
  type SiteLink,
  type Topology,
} from '../../src/topology/topology.ts'
import { parseMs, parseRate } from './units.ts'

export interface TopologyFile {
  readonly topology: Topology
  /** Region of each site that the file gives one, in the order of the file. */
  readonly regionOf: ReadonlyMap<string, string>
  /** For the simulator: sites to make up in a region, as REGION-1, REGION-2 and so on. */
  readonly madeUp: ReadonlyMap<string, number>
  readonly origin: string | undefined
  readonly events: readonly FileEvent[]
}

/** Something that happens in a simulation. Names of regions are `region:NAME`. */
export type FileEvent =
  | { readonly atMs: number; readonly kind: 'kill' | 'restart' | 'join'; readonly site: string }
  | { readonly atMs: number; readonly kind: 'cut'; readonly between: readonly [string, string | undefined] }
  | { readonly atMs: number; readonly kind: 'heal'; readonly between?: readonly [string, string | undefined] }
  | {
      readonly atMs: number
      readonly kind: 'rate'
      readonly site: string
      readonly upKbit?: number
      readonly downKbit?: number
    }

/** Names that the file need not list itself. */
export interface KnownNames {
  readonly sites: ReadonlySet<string>
  readonly regions: ReadonlySet<string>
}

const name = z.string().refine(isSegment, { error: 'is not a name (a-z, 0-9, ".", "_", "-")' })
const rate = z.unknown().transform((value, context): number => {
  const kbit = parseRate(value)
  if (kbit === undefined)
    context.issues.push({
      code: 'custom',
      input: value,
      message: 'is not a rate, such as "25 Mbit/s" (a plain number is Mbit/s)',
    })
  return kbit ?? 0
})
const time = z.unknown().transform((value, context): number => {
  const ms = parseMs(value)
  if (ms === undefined)
    context.issues.push({
      code: 'custom',
      input: value,
      message: 'is not a time, such as "160 ms" (a plain number is ms)',
    })
  return ms ?? 0
})
const end = z.string().refine((text) => isSegment(regionOfEnd(text) ?? text), {
  error: 'is not a site, a region or region:NAME',
})
const ends = z.tuple([end, end])
const either = z.union([end, ends], { error: 'is a site, a region, or a list of two of them' })

const FILE = z.strictObject({
  name: z.string().optional(),
  origin: name.optional(),
  regions: z
    .record(
      name,
      z
        .strictObject({
          up: rate.optional(),
          down: rate.optional(),
          sites: z.int().min(1).max(1000).optional(),
        })
        .nullable(),
    )
    .default({}),
  sites: z
    .record(
      name,
      z
        .strictObject({
          region: name.optional(),
          up: rate.optional(),
          down: rate.optional(),
          subnets: z.array(z.string()).optional(),
          reachable: z.boolean().optional(),
        })
        .nullable(),
    )
    .default({}),
  paths: z
    .array(
      z.strictObject({
        between: ends,
        rtt: time.optional(),
        rate: rate.optional(),
        cost: z.int().optional(),
      }),
    )
    .default([]),
  events: z
    .array(
      z.union(
        [
          z.strictObject({ at: time, kill: name }),
          z.strictObject({ at: time, restart: name }),
          z.strictObject({ at: time, join: name }),
          z.strictObject({ at: time, cut: either }),
          z.strictObject({ at: time, heal: z.union([either, z.literal('all')]) }),
          z.strictObject({ at: time, rate: name, up: rate.optional(), down: rate.optional() }),
        ],
        { error: 'is not "at: TIME" with one of kill, restart, join, cut, heal, or rate with up and down' },
      ),
    )
    .default([]),
})

type FileContent = z.output<typeof FILE>

/** @throws MirrorError `invalid` with the line, `not-found` when there is no such file */
export async function readTopologyFile(file: string, known?: KnownNames): Promise<TopologyFile> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw asMirrorError(error, `read the topology file ${file}`)
  }
  return parseTopologyFile(text, file, known)
}

export function parseTopologyFile(
  text: string,
  file: string,
  known: KnownNames = { sites: new Set(), regions: new Set() },
): TopologyFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const fault = document.errors[0]
  if (fault !== undefined)
    throw new MirrorError(
      'invalid',
      `${file}:${lines.linePos(fault.pos[0]).line}: ${fault.message.split('\n')[0]}`,
    )
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 1000 })
  } catch (error) {
    throw new MirrorError('invalid', `${file}: ${(error as Error).message}`, { cause: error })
  }
  if (Array.isArray((value as { sites?: unknown } | null)?.sites)) return fromLists(value, file)
  const result = FILE.safeParse(value)
  if (!result.success) {
    const issue = result.error.issues[0]!
    const node = document.getIn(issue.path as (string | number)[], true)
    const at = isNode(node) ? (node.range?.[0] ?? 0) : 0
    const what = issue.path.length === 0 ? '' : `${issue.path.join('.')}: `
    throw new MirrorError('invalid', `${file}:${lines.linePos(at).line}: ${what}${issue.message}`, {
      facts: { file, field: issue.path.join('.') },
    })
  }
  return fromContent(result.data, file, known)
}

/** What `topology show --json` prints under `declared`. */
function fromLists(value: unknown, file: string): TopologyFile {
  const { version: _, ...lists } = value as Record<string, unknown>
  return {
    topology: decoded(lists, file),
    regionOf: new Map(),
    madeUp: new Map(),
    origin: undefined,
    events: [],
  }
}

function decoded(value: unknown, file: string): Topology {
  try {
    return decodeTopology(value)
  } catch (error) {
    if (!isMirrorError(error, 'corrupt')) throw error
    throw new MirrorError('invalid', `${file}: ${error.message}`, { cause: error })
  }
}

function fromContent(content: FileContent, file: string, known: KnownNames): TopologyFile {
  const regionNames = new Set([...Object.keys(content.regions), ...known.regions])
  const siteNames = new Set([...Object.keys(content.sites), ...known.sites])
  const regionOf = new Map<string, string>()
  for (const [site, entry] of Object.entries(content.sites)) {
    if (entry?.region === undefined) continue
    regionOf.set(site, entry.region)
    regionNames.add(entry.region)
  }

  function endOf(text: string): string {
    if (regionOfEnd(text) !== undefined || !regionNames.has(text)) return text
    if (!siteNames.has(text)) return regionEnd(text)
    throw new MirrorError('invalid', `${file}: ${text} is a site and a region`, {
      hint: `Write region:${text} for the region; for the path of a site, give the region another name.`,
    })
  }

  const betweenOf = (value: z.output<typeof either>): readonly [string, string | undefined] =>
    typeof value === 'string' ? [endOf(value), undefined] : [endOf(value[0]), endOf(value[1])]

  const regions = Object.entries(content.regions).map(
    ([region, entry]): RegionLink => ({ region, ...rateOf(entry) }),
  )
  const sites = Object.entries(content.sites).map(
    ([site, entry]): SiteLink => ({
      site,
      ...rateOf(entry),
      ...(entry?.subnets === undefined ? {} : { subnets: entry.subnets.toSorted() }),
      ...(entry?.reachable === undefined ? {} : { isReachable: entry.reachable }),
    }),
  )
  const paths = content.paths.map(({ between, rtt, rate: kbit, cost }): PathLink => {
    const [a, b] = between.map(endOf).sort() as [string, string]
    return {
      between: [a, b],
      // Below a millisecond is one: there is no finer declaration.
      ...(rtt === undefined ? {} : { rttMs: Math.max(1, Math.round(rtt)) }),
      ...(kbit === undefined ? {} : { kbit }),
      ...(cost === undefined ? {} : { cost }),
    }
  })
  return {
    topology: decoded(
      {
        regions: regions.sort((a, b) => (a.region < b.region ? -1 : 1)),
        sites: sites.sort((a, b) => (a.site < b.site ? -1 : 1)),
        paths: paths.sort(comparePaths),
      },
      file,
    ),
    regionOf,
    madeUp: new Map(
      Object.entries(content.regions).flatMap(([region, entry]) =>
        entry?.sites === undefined ? [] : [[region, entry.sites] as const],
      ),
    ),
    origin: content.origin,
    events: content.events.map((event): FileEvent => {
      const atMs = event.at
      if ('kill' in event) return { atMs, kind: 'kill', site: event.kill }
      if ('restart' in event) return { atMs, kind: 'restart', site: event.restart }
      if ('join' in event) return { atMs, kind: 'join', site: event.join }
      if ('cut' in event) return { atMs, kind: 'cut', between: betweenOf(event.cut) }
      if ('heal' in event)
        return event.heal === 'all'
          ? { atMs, kind: 'heal' }
          : { atMs, kind: 'heal', between: betweenOf(event.heal) }
      return { atMs, kind: 'rate', site: event.rate, ...rateOf(event) }
    }),
  }
}

function rateOf(entry: { up?: number | undefined; down?: number | undefined } | null): {
  upKbit?: number
  downKbit?: number
} {
  return {
    ...(entry?.up === undefined ? {} : { upKbit: entry.up }),
    ...(entry?.down === undefined ? {} : { downKbit: entry.down }),
  }
}
