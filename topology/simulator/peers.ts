/**
 * Who is connected to whom: all of a region to each other, and a bounded number of others, spread over the regions; the
 * origin always. Two sites of different regions that both cannot be dialled are not.
 */
import { isReachable, type Topology } from '../../src/topology/topology.ts'
import { isFar, type Node } from './node.ts'

export interface PeerBounds {
  readonly maxFarPeers: number
  readonly maxFarWatches: number
}

/** Sets `peers` and `watches` of all nodes; late joiners are among them from the start. */
export function connectAll(nodes: readonly Node[], topology: Topology, bounds: PeerBounds): void {
  const byRegion = new Map<string, Node[]>()
  for (const node of nodes) {
    const known = byRegion.get(node.place.region)
    if (known === undefined) byRegion.set(node.place.region, [node])
    else known.push(node)
  }
  const canConnect = (a: Node, b: Node): boolean =>
    !isFar(a, b) || isReachable(topology, a.place.site) || isReachable(topology, b.place.site)
  const linked = new Map<Node, Set<Node>>(nodes.map((node) => [node, new Set()]))
  for (const [number, node] of nodes.entries()) {
    const near = byRegion.get(node.place.region)!.filter((other) => other !== node)
    const far = spread(node, number, byRegion).filter((other) => canConnect(node, other))
    for (const other of [...near, ...far.slice(0, bounds.maxFarPeers)]) {
      linked.get(node)!.add(other)
      // A connection has two ends.
      linked.get(other)!.add(node)
    }
    node.watches = new Set([...near, ...far.slice(0, bounds.maxFarWatches)])
  }
  for (const node of nodes) node.peers = [...linked.get(node)!]
}

/** Sites of other regions: origins first, then one of each region after the other, each site from its own place on. */
function spread(self: Node, number: number, byRegion: ReadonlyMap<string, readonly Node[]>): Node[] {
  const others = [...byRegion].filter(([region]) => region !== self.place.region).map(([, nodes]) => nodes)
  const origins = others.flat().filter(({ spec }) => spec.isOrigin === true)
  const rest: Node[] = []
  const longest = others.reduce((most, nodes) => Math.max(most, nodes.length), 0)
  for (let round = 0; round < longest; round++) {
    for (const nodes of others) {
      const node = nodes[(number + round) % nodes.length]
      if (round < nodes.length && node !== undefined && node.spec.isOrigin !== true) rest.push(node)
    }
  }
  return [...origins, ...rest]
}
