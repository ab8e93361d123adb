/** What the records say of the way that a tree takes through the mesh: where it starts, and how wide the pipes are. */
import type { MeshState } from '../record/mesh-state.ts'
import type { Place } from '../topology/path-class.ts'
import { regionRate } from '../topology/topology.ts'

export interface SwarmFacts {
  readonly origin: Place | undefined
  readonly regionWeight: (region: string) => number
}

/** All sites compute the same from the same records. */
export function swarmOf(state: MeshState, tree: string): SwarmFacts {
  const publisher = state.trees.get(tree)?.newest?.publisher
  const member = publisher === undefined ? undefined : state.members.get(publisher)
  const topology = state.topology?.body
  const declared = topology?.regions.flatMap(({ upKbit }) => upKbit ?? []) ?? []
  const meanKbit = declared.reduce((sum, kbit) => sum + kbit, 0) / declared.length
  return {
    origin: member && { site: member.site, region: member.region },
    regionWeight(region) {
      if (topology === undefined || declared.length === 0) return 1
      // One of which nothing is declared counts as one like the others.
      return (regionRate(topology, region).upKbit ?? meanKbit) / meanKbit
    },
  }
}
