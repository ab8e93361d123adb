/**
 * Reads a topology file: YAML or JSON, with units as people write them (docs/operating.md), or the lists that
 * `topology show --json` prints. The same file can be given to the simulator, which also reads where the sites are,
 * who publishes, and what happens when.
 */
import { readFile } from 'node:fs/promises'
import { isNode, LineCounter, parseDocument } from 'yaml'
import { asMirrorError, isMirrorError, MirrorError } from '../../src/base/errors.ts'
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
import { eventOf, type FileEvent, rateOf } from './file-events.ts'
import { FILE, type FileContent } from './file-schema.ts'

export interface TopologyFile {
  readonly topology: Topology
  /** Region of each site that the file gives one, in the order of the file. */
  readonly regionOf: ReadonlyMap<string, string>
  /** For the simulator: sites to make up in a region, as REGION-1, REGION-2 and so on. */
  readonly madeUp: ReadonlyMap<string, number>
  readonly origin: string | undefined
  readonly events: readonly FileEvent[]
}

/** Names that the file need not list itself. */
export interface KnownNames {
  readonly sites: ReadonlySet<string>
  readonly regions: ReadonlySet<string>
}

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
    events: content.events.map((event) => eventOf(event, endOf)),
  }
}
