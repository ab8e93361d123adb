/** Which paths are cut. A cut is between two sites or regions, or between one of them and everybody else. */
import { regionOfEnd } from '../../src/topology/topology.ts'
import type { Node } from './node.ts'
import type { Relays } from './relays.ts'

type Between = readonly [string, string | undefined]

export interface Cuts {
  cut(between: Between): void
  heal(between: Between | undefined): void
  isCut(a: Node, b: Node): boolean
}

export function createCuts(relays: Relays): Cuts {
  const cuts = new Map<string, Between>()
  return {
    cut(between) {
      cuts.set(keyOf(between), between)
    },
    heal(between) {
      if (between === undefined) cuts.clear()
      else cuts.delete(keyOf(between))
    },
    isCut(a, b) {
      const relay = relays.between(a, b)
      return relay === undefined ? isBetween(a, b) : isBetween(a, relay) || isBetween(relay, b)
    },
  }

  function isBetween(a: Node, b: Node): boolean {
    for (const [one, other] of cuts.values()) {
      const [isA, isB] = [isIn(a, one), isIn(b, one)]
      if (other === undefined ? isA !== isB : (isA && isIn(b, other)) || (isB && isIn(a, other))) return true
    }
    return false
  }
}

function isIn(node: Node, name: string): boolean {
  const region = regionOfEnd(name)
  return region === undefined ? node.place.site === name : node.place.region === region
}

function keyOf([a, b]: Between): string {
  return b === undefined ? a : [a, b].sort().join(' ')
}
