/**
 * The sites that have a snapshot, as clients may be sent to them: complete there, up, not drained, and with a gateway
 * whose address is known; the nearest to the client first.
 *
 * Where a client is, its address says, by the subnets that the topology declares; a client of no subnet is where this
 * node is. Nearer is: the same site, the same region, then what the declared paths cost, and their round trips. Equal
 * ones are in an order of the client's own, so that clients spread over them.
 *
 * Everything comes from what the sites said of themselves, up to a second old: a mirror that is gone since is the
 * client's to pass over, which is what lists are for.
 */
import type { Clock } from '../../src/base/clock.ts'
import type { SiteStatus, StatusDocument } from '../../src/replica/status/status.ts'
import { type Place, pathClass, tierOf } from '../../src/topology/path-class.ts'
import { siteOfAddress } from '../../src/topology/site-of-address.ts'
import { pathBetween, type Topology } from '../../src/topology/topology.ts'

export interface Mirror extends Place {
  /** With a slash at the end; undefined only of this node, when nobody has said what it is called. */
  readonly url: string | undefined
  readonly isSelf: boolean
  readonly isDrained: boolean
}

export interface Mirrors {
  /**
   * Those that are complete at `sequence`, nearest to `client` (an IP address) first.
   * @param hasSelf this node has it too, which it knows better than its status; drained, it comes only where nobody else does
   */
  nearest(
    tree: string,
    sequence: number,
    client: string | undefined,
    options: { readonly hasSelf: boolean },
  ): readonly Mirror[]
  /** While it is the same object, `nearest` answers the same. */
  epoch(): object
  /** The newest sequence that any other site is complete at. */
  newestElsewhere(tree: string): number | undefined
}

const FRESH_MS = 1000
/** A client asks for many files of one snapshot in a second. */
const MAX_ORDERS = 1024

interface Known {
  readonly atMs: number
  readonly orders: Map<string, readonly Mirror[]>
  readonly self: Place
  readonly regions: ReadonlyMap<string, string>
  readonly mirrors: readonly Mirror[]
  /** By tree: each mirror and what it is complete at. */
  readonly trees: ReadonlyMap<
    string,
    readonly { readonly mirror: Mirror; readonly sequences: readonly number[] }[]
  >
}

export function createMirrors({
  readStatus,
  readTopology,
  clock,
}: {
  readonly readStatus: () => StatusDocument
  readonly readTopology: () => Topology
  readonly clock: Pick<Clock, 'monotonicMs'>
}): Mirrors {
  let last: Known | undefined

  function known(): Known {
    const atMs = clock.monotonicMs()
    if (last === undefined || atMs - last.atMs >= FRESH_MS)
      last = { atMs, orders: new Map(), ...read(readStatus()) }
    return last
  }

  function order(tree: string, sequence: number, client: string, hasSelf: boolean): readonly Mirror[] {
    const { self, mirrors, regions, trees } = known()
    const others = (trees.get(tree) ?? []).flatMap(({ mirror, sequences }) =>
      !mirror.isSelf && sequences.includes(sequence) ? [mirror] : [],
    )
    const own = mirrors.filter(
      ({ isSelf, isDrained }) => isSelf && hasSelf && !(isDrained && others.length > 0),
    )
    const topology = readTopology()
    const site = siteOfAddress(topology, client)
    const place = site === undefined ? self : { site, region: regions.get(site) ?? self.region }
    return [...others, ...own]
      .map((mirror) => ({ mirror, distance: distanceOf(topology, place, mirror, client) }))
      .sort((a, b) => compareDistances(a.distance, b.distance))
      .map(({ mirror }) => mirror)
  }

  return {
    nearest(tree, sequence, client = '', { hasSelf }) {
      const { orders } = known()
      const key = `${tree} ${sequence} ${client} ${hasSelf}`
      const before = orders.get(key)
      if (before !== undefined) return before
      const ordered = order(tree, sequence, client, hasSelf)
      if (orders.size < MAX_ORDERS) orders.set(key, ordered)
      return ordered
    },
    epoch: known,
    newestElsewhere(tree) {
      const all = (known().trees.get(tree) ?? []).flatMap(({ mirror, sequences }) =>
        mirror.isSelf ? [] : sequences,
      )
      return all.length === 0 ? undefined : Math.max(...all)
    },
  }
}

function read({ self, sites, trees }: StatusDocument): Omit<Known, 'atMs' | 'orders'> {
  const mirrors = new Map<string, Mirror>()
  for (const each of sites) {
    const mirror = mirrorOf(each)
    if (mirror !== undefined) mirrors.set(each.site, mirror)
  }
  return {
    self,
    mirrors: [...mirrors.values()],
    regions: new Map(sites.map(({ site, region }) => [site, region])),
    trees: new Map(
      trees.map(({ tree, sites: replicas }) => [
        tree,
        replicas.flatMap(({ site, sequence, isFiltered, alsoComplete = [] }) => {
          const mirror = mirrors.get(site)
          return mirror === undefined || sequence === null
            ? []
            : // Of a part nobody can tell which files are in it.
              [{ mirror, sequences: isFiltered === true ? alsoComplete : [sequence, ...alsoComplete] }]
        }),
      ]),
    ),
  }
}

function mirrorOf({ site, region, state, url, drained }: SiteStatus): Mirror | undefined {
  if (state === 'self') return { site, region, url: url ?? undefined, isSelf: true, isDrained: drained }
  if (state !== 'up' || drained || typeof url !== 'string') return undefined
  return { site, region, url, isSelf: false, isDrained: false }
}

type Distance = readonly number[]

function distanceOf(topology: Topology, from: Place, to: Place, client: string): Distance {
  const path = pathBetween(topology, from, to)
  return [
    from.site === to.site ? 0 : 1,
    tierOf(pathClass(from, to)),
    path?.cost ?? 0,
    path?.rttMs ?? Number.MAX_SAFE_INTEGER,
    mix(`${client} ${to.site}`),
  ]
}

function compareDistances(a: Distance, b: Distance): number {
  for (const [at, value] of a.entries()) if (value !== b[at]) return value - b[at]!
  return 0
}

/** FNV-1a, 32 bits, with a last stir: an order that is each client's own and always the same. */
function mix(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}
