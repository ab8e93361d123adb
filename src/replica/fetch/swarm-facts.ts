/** What the records say of the way that a tree takes through the mesh: where it starts, and how wide the pipes are. */
import type { MeshState } from '../../record/mesh-state.ts'
import type { Place } from '../../topology/path-class.ts'
import { type Rate, regionRate, siteRate, type Topology } from '../../topology/topology.ts'
import type { SwarmWeights } from '../scheduler/types.ts'

export interface SwarmFacts {
  readonly origin: Place | undefined
  readonly weights: SwarmWeights
}

/** All sites compute the same from the same records. */
export function swarmOf(state: MeshState, tree: string): SwarmFacts {
  const publisher = state.trees.get(tree)?.newest?.publisher
  const member = publisher === undefined ? undefined : state.members.get(publisher)
  const origin = member && { site: member.site, region: member.region }
  return {
    origin,
    weights: swarmWeights(
      state.topology?.body,
      ranks(() => byAdmission(state), origin),
    ),
  }
}

/** @param rank none by default */
export function swarmWeights(
  topology: Topology | undefined,
  rank: SwarmWeights['rank'] = () => undefined,
): SwarmWeights {
  return { region: regionWeights(topology), site: siteWeights(topology), relay: relayShares(topology), rank }
}

/** @param places asked for when a rank is; whoever comes later stands behind all others */
export function ranks(places: () => readonly Place[], origin: Place | undefined): SwarmWeights['rank'] {
  let known: ReadonlyMap<string, number> | undefined
  return ({ site, region }) => {
    known ??= ranksOf(places(), origin)
    return known.get(`${region} ${site}`)
  }
}

function ranksOf(places: readonly Place[], origin: Place | undefined): Map<string, number> {
  const counts = new Map<string, number>()
  const known = new Map<string, number>()
  for (const { site, region } of places) {
    if (known.has(`${region} ${site}`) || (site === origin?.site && region === origin.region)) continue
    const rank = counts.get(region) ?? 0
    counts.set(region, rank + 1)
    known.set(`${region} ${site}`, rank)
  }
  return known
}

/** Those that were revoked, too: nobody else's rank changes by it. */
function byAdmission({ members }: MeshState): Place[] {
  return [...members.values()].sort((a, b) => a.origin.timeMs - b.origin.timeMs || (a.site < b.site ? -1 : 1))
}

/**
 * By the square of the narrower direction of a region's pipe. A region takes its share in first and passes it on while
 * it takes in the rest: by the square a slow one has its share sooner than a fast one its own, and holds up nobody. A
 * region of which nothing is declared counts as one like the others.
 */
function regionWeights(topology: Topology | undefined): (region: string) => number {
  const rateOf = (region: string): number | undefined =>
    topology === undefined ? undefined : narrowerKbit(regionRate(topology, region))
  const declared = topology?.regions.flatMap(({ region }) => rateOf(region) ?? []) ?? []
  if (declared.length === 0) return () => 1
  const meanKbit = declared.reduce((sum, kbit) => sum + kbit, 0) / declared.length
  return (region) => ((rateOf(region) ?? meanKbit) / meanKbit) ** 2
}

/**
 * The same within a region: a site gives what it took in to each of its neighbours, through its own pipe. One whose pipe is as
 * wide as the region's, or not declared, counts fully.
 */
function siteWeights(topology: Topology | undefined): SwarmWeights['site'] {
  if (topology === undefined) return () => 1
  return ({ site, region }) => {
    const own = narrowerKbit(siteRate(topology, site))
    if (own === undefined) return 1
    const wanted = narrowerKbit(regionRate(topology, region)) ?? UNDECLARED_KBIT
    return Math.min(1, own / wanted) ** 2
  }
}

/**
 * What a relay takes in passes its own pipe both ways. The origin sends no more than its own pipe and its region's carry: others
 * are served from there.
 */
function relayShares(topology: Topology | undefined): SwarmWeights['relay'] {
  if (topology === undefined) return () => 1
  return ({ site }, origin) => {
    const own = narrowerKbit(siteRate(topology, site))
    if (own === undefined) return 1
    const sent = Math.min(
      siteRate(topology, origin.site).upKbit ?? Number.POSITIVE_INFINITY,
      regionRate(topology, origin.region).upKbit ?? Number.POSITIVE_INFINITY,
    )
    return Math.min(1, own / (Number.isFinite(sent) ? sent : UNDECLARED_KBIT))
  }
}

/** Of a region whose pipe is not declared: sites with less than this beside it have a share in proportion. */
const UNDECLARED_KBIT = 100_000

function narrowerKbit({ upKbit = Number.POSITIVE_INFINITY, downKbit = Number.POSITIVE_INFINITY }: Rate) {
  const kbit = Math.min(upKbit, downKbit)
  return Number.isFinite(kbit) ? kbit : undefined
}
