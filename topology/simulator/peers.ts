/**
 * Who is connected to whom, and who tells whom what it holds, as in the daemon (src/replica/fetch/fetch-members.ts): all of a
 * region; the origin; and of every other region a few, each site others. Two sites of different regions that both
 * cannot be dialled are connected through a relay (relays.ts), or not at all.
 */
import { affinity } from '../../src/replica/scheduler/rendezvous.ts'
import type { Node } from './node.ts'
import type { Relays } from './relays.ts'

export interface PeerBounds {
  /** Connections to sites of other regions that a site makes; it may have more that others made. */
  readonly maxFarPeers: number
  /** Of those, shared by the regions: one at least of each. */
  readonly maxFarWatches: number
}

/** Sets `peers` and `watches` of all nodes; late joiners are among them from the start. */
export function connectAll(nodes: readonly Node[], relays: Relays, bounds: PeerBounds): void {
  const byRegion = Map.groupBy(nodes, ({ place }) => place.region)
  const canConnect = (a: Node, b: Node): boolean => !relays.needs(a, b) || relays.between(a, b) !== undefined
  const linked = new Map<Node, Set<Node>>(nodes.map((node) => [node, new Set()]))
  for (const node of nodes) {
    const near = byRegion.get(node.place.region)!.filter((other) => other !== node)
    const { watched, rest } = farOf(node, byRegion, bounds, canConnect)
    for (const other of [...near, ...watched, ...rest]) {
      linked.get(node)!.add(other)
      // A connection has two ends.
      linked.get(other)!.add(node)
    }
    node.watches = new Set([...near, ...watched])
  }
  for (const node of nodes) node.peers = [...linked.get(node)!]
}

function farOf(
  self: Node,
  byRegion: ReadonlyMap<string, readonly Node[]>,
  { maxFarPeers, maxFarWatches }: PeerBounds,
  canConnect: (a: Node, b: Node) => boolean,
): { watched: Node[]; rest: Node[] } {
  const watched: Node[] = []
  const rest: { node: Node; rank: number }[] = []
  const share = Math.max(1, Math.floor(maxFarWatches / Math.max(1, byRegion.size - 1)))
  for (const [region, nodes] of byRegion) {
    if (region === self.place.region) continue
    const ranked = nodes
      .filter((other) => canConnect(self, other))
      .map((node) => ({ node, rank: affinity(self.place.site, node.place.site) }))
      .sort((a, b) => b.rank - a.rank)
    const origins = ranked.filter(({ node }) => node.spec.isOrigin === true)
    const others = ranked.filter(({ node }) => node.spec.isOrigin !== true)
    watched.push(...[...origins, ...others.slice(0, share)].map(({ node }) => node))
    rest.push(...others.slice(share))
  }
  rest.sort((a, b) => b.rank - a.rank)
  return { watched, rest: rest.slice(0, Math.max(0, maxFarPeers - watched.length)).map(({ node }) => node) }
}
