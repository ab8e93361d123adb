/**
 * Whom a reader's block is asked of, in which order: those of this region first, the origin last, as the scheduler has its
 * tiers; within a tier those that keep the tree, then those that have least to do for us. Who has not had something, or
 * failed, comes after all others of its tier for a while; who sent wrong bytes is not asked again.
 */
import type { Clock } from '../../base/clock.ts'
import type { Place } from '../../topology/path-class.ts'
import type { FetchMember, FetchMembers } from '../fetch-network.ts'
import { tierOf } from '../scheduler/tiers.ts'

export type PullFailure = 'missing' | 'busy' | 'broken'

export interface PullPeers {
  /** The connected ones, the best first. */
  list(tree: string, origin: Place | undefined): readonly PullPeer[]
  started(peer: string): void
  ended(peer: string, tree: string, failure: PullFailure | undefined): void
  blame(peer: string): void
}

export interface PullPeer extends FetchMember {
  readonly isNear: boolean
}

/** How long a failure counts. */
const PENALTY_MS: Readonly<Record<PullFailure, number>> = { missing: 5_000, busy: 1_000, broken: 15_000 }
/** Members and trees that are remembered for a failure. */
const MAX_PENALTIES = 4096

export function createPullPeers(
  { members, clock }: { readonly members: FetchMembers; readonly clock: Clock },
  { self }: { readonly self: Place },
): PullPeers {
  const inFlight = new Map<string, number>()
  const penalties = new Map<string, number>()
  const blamed = new Set<string>()

  function isSetBack(peer: string, tree: string): boolean {
    const nowMs = clock.monotonicMs()
    return (penalties.get(peer) ?? 0) > nowMs || (penalties.get(`${peer} ${tree}`) ?? 0) > nowMs
  }

  return {
    list(tree, origin) {
      return members
        .list(tree)
        .filter(({ peer, isConnected }) => isConnected && !blamed.has(peer))
        .map((member) => {
          const tier = tierOf({ self, origin }, member)
          const rank = [tier, isSetBack(member.peer, tree), !member.wants, inFlight.get(member.peer) ?? 0]
          return { member: { ...member, isNear: tier === 0 }, rank: rank.map(Number) }
        })
        .toSorted((a, b) => compare(a.rank, b.rank))
        .map(({ member }) => member)
    },
    started(peer) {
      inFlight.set(peer, (inFlight.get(peer) ?? 0) + 1)
    },
    ended(peer, tree, failure) {
      const left = (inFlight.get(peer) ?? 1) - 1
      if (left > 0) inFlight.set(peer, left)
      else inFlight.delete(peer)
      // Not having a block says something of one tree only.
      const key = failure === 'missing' ? `${peer} ${tree}` : peer
      penalties.delete(key)
      if (failure === undefined) return
      penalties.set(key, clock.monotonicMs() + PENALTY_MS[failure])
      if (penalties.size > MAX_PENALTIES) penalties.delete(penalties.keys().next().value!)
    },
    blame(peer) {
      blamed.add(peer)
    },
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, left] of a.entries()) if (left !== b[i]) return left - b[i]!
  return 0
}
