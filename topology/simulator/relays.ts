/**
 * Two sites that cannot dial each other meet at a member that can be dialled: what they exchange passes its links, too. As in the
 * daemon nothing is relayed over what is relayed, and a relay that is gone is replaced by another.
 */
import { affinity } from '../../src/replica/scheduler/rendezvous.ts'
import type { Node } from './node.ts'

export interface Relays {
  /** The two have to be relayed. */
  needs(a: Node, b: Node): boolean
  /** The site through which they reach each other now; undefined when they need none, or there is none. */
  between(a: Node, b: Node): Node | undefined
  /** Pairs that meet at the site. */
  pairsOf(relay: Node): readonly (readonly [Node, Node])[]
  /** They meet at another one, if there is any. */
  replace(a: Node, b: Node): Node | undefined
}

/** @param isReachable can be dialled from other regions */
export function createRelays(nodes: readonly Node[], isReachable: (node: Node) => boolean): Relays {
  const chosen = new Map<string, { readonly ends: readonly [Node, Node]; relay: Node | undefined }>()
  const relays = nodes.filter(isReachable)
  const needs = (a: Node, b: Node): boolean =>
    a.place.region !== b.place.region && !isReachable(a) && !isReachable(b)

  function best(a: Node, b: Node): Node | undefined {
    const ends = [a.spec.site, b.spec.site].sort().join(' ')
    let found: Node | undefined
    let rank = -1
    for (const relay of relays) {
      if (!relay.isAlive || !relay.isMember) continue
      const own = affinity(ends, relay.spec.site)
      if (own > rank) [found, rank] = [relay, own]
    }
    return found
  }

  function entry(a: Node, b: Node) {
    const key = [a.spec.site, b.spec.site].sort().join(' ')
    let known = chosen.get(key)
    if (known === undefined) {
      known = { ends: [a, b], relay: best(a, b) }
      chosen.set(key, known)
    }
    return known
  }

  return {
    needs,
    between: (a, b) => (needs(a, b) ? entry(a, b).relay : undefined),
    pairsOf: (relay) => [...chosen.values()].filter((each) => each.relay === relay).map(({ ends }) => ends),
    replace(a, b) {
      const known = entry(a, b)
      known.relay = best(a, b)
      return known.relay
    },
  }
}
