/**
 * The greatest flow from one node of a small network to another, by Dinic's algorithm (Dinitz, 1970): shortest paths
 * first, all of one length at a time. Capacities are not negative; Infinity is one without a limit.
 */

export interface FlowNetwork {
  addNode(): number
  addEdge(from: number, to: number, capacity: number): void
  /** Starts from the capacities each time. Infinity when a path has no limit at all. */
  maxFlow(source: number, sink: number): number
}

export function createFlowNetwork(): FlowNetwork {
  /** Edges in pairs: each, and the way back along it. */
  const to: number[] = []
  const capacity: number[] = []
  const edgesOf: number[][] = []

  /** Edges from the source that still have room, by breadth: the level of each node, -1 where none leads. */
  function levels(source: number, room: Float64Array): Int32Array {
    const level = new Int32Array(edgesOf.length).fill(-1)
    level[source] = 0
    const queue = [source]
    for (let at = 0; at < queue.length; at++) {
      const node = queue[at]!
      for (const edge of edgesOf[node]!) {
        const next = to[edge]!
        if (room[edge]! <= 0 || level[next] !== -1) continue
        level[next] = level[node]! + 1
        queue.push(next)
      }
    }
    return level
  }

  return {
    addNode: () => edgesOf.push([]) - 1,
    addEdge(from, target, limit) {
      edgesOf[from]!.push(to.length)
      to.push(target)
      capacity.push(limit)
      edgesOf[target]!.push(to.length)
      to.push(from)
      capacity.push(0)
    },
    maxFlow(source, sink) {
      if (source === sink) return Number.POSITIVE_INFINITY
      const room = Float64Array.from(capacity)
      let flow = 0
      for (;;) {
        const level = levels(source, room)
        if (level[sink] === -1) return flow
        const next = new Int32Array(edgesOf.length)
        const push = (node: number, limit: number): number => {
          if (node === sink) return limit
          for (const edges = edgesOf[node]!; next[node]! < edges.length; next[node]!++) {
            const edge = edges[next[node]!]!
            const target = to[edge]!
            if (room[edge]! <= 0 || level[target] !== level[node]! + 1) continue
            const pushed = push(target, Math.min(limit, room[edge]!))
            if (pushed <= 0) continue
            room[edge]! -= pushed
            room[edge ^ 1]! += pushed
            return pushed
          }
          return 0
        }
        for (;;) {
          const pushed = push(source, Number.POSITIVE_INFINITY)
          if (pushed === Number.POSITIVE_INFINITY) return pushed
          if (pushed === 0) break
          flow += pushed
        }
      }
    },
  }
}
