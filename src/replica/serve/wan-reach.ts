/**
 * Whether what is sent to a peer crosses a WAN link, there or one step later. A publisher gives each block once to its
 * own region, which passes it on as it came: compressed for the region's sake means compressed on every link after it.
 */
import type { Clock } from '../../base/clock.ts'
import type { MeshState } from '../../record/mesh-state.ts'
import { type Place, pathClass } from '../../topology/path-class.ts'
import { isWanted } from '../goals.ts'

/** Asked for every block, worked out of the records this often. */
const KEEP_MS = 1000

export interface WanReachComponents {
  readonly ledger: { state(): MeshState }
  readonly clock: Clock
  readonly self: Place & { readonly peer: string }
}

export function createWanReach({
  ledger,
  clock,
  self,
}: WanReachComponents): (peer: string, tree: string) => boolean {
  const trees = new Map<string, boolean>()
  let clearMs = Number.NEGATIVE_INFINITY

  /** This node publishes it, and another region wants it. */
  function leaves(tree: string): boolean {
    if (clock.monotonicMs() >= clearMs) {
      trees.clear()
      clearMs = clock.monotonicMs() + KEEP_MS
    }
    const known = trees.get(tree)
    if (known !== undefined) return known
    const state = ledger.state()
    const answer =
      state.trees.get(tree)?.newest?.publisher === self.peer &&
      [...state.members.values()].some(
        (member) =>
          member.isActive &&
          pathClass(self, member) === 'wan' &&
          isWanted(state, tree, member, clock.nowMs()),
      )
    trees.set(tree, answer)
    return answer
  }

  return (peer, tree) => {
    const other = ledger.state().members.get(peer)
    return other !== undefined && (pathClass(self, other) === 'wan' || leaves(tree))
  }
}
