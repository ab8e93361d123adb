/** What the records say of the way that a tree takes through the mesh: where it starts, and how wide the pipes are. */
import type { MeshState } from '../record/mesh-state.ts'
import type { Place } from '../topology/path-class.ts'
import { regionRate, type Topology } from '../topology/topology.ts'

export interface SwarmFacts {
  readonly origin: Place | undefined
  readonly regionWeight: (region: string) => number
}

/** All sites compute the same from the same records. */
export function swarmOf(state: MeshState, tree: string): SwarmFacts {
  const publisher = state.trees.get(tree)?.newest?.publisher
  const member = publisher === undefined ? undefined : state.members.get(publisher)
  return {
    origin: member && { site: member.site, region: member.region },
    regionWeight: regionWeights(state.topology?.body),
  }
}

/**
 * By the square of the narrower direction of a region's pipe. A region takes its share in first and passes it on while
 * it takes in the rest: by the square a slow one has its share sooner than a fast one its own, and holds up nobody. A
 * region of which nothing is declared counts as one like the others.
 */
export function regionWeights(topology: Topology | undefined): (region: string) => number {
  const rateOf = (region: string): number | undefined => {
    const { upKbit = Number.POSITIVE_INFINITY, downKbit = Number.POSITIVE_INFINITY } =
      topology === undefined ? {} : regionRate(topology, region)
    const kbit = Math.min(upKbit, downKbit)
    return Number.isFinite(kbit) ? kbit : undefined
  }
  const declared = topology?.regions.flatMap(({ region }) => rateOf(region) ?? []) ?? []
  if (declared.length === 0) return () => 1
  const meanKbit = declared.reduce((sum, kbit) => sum + kbit, 0) / declared.length
  return (region) => ((rateOf(region) ?? meanKbit) / meanKbit) ** 2
}
