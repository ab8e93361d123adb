/**
 * Whom to ask for a control object, so that it crosses the WAN once for a region and leaves the origin once for each:
 * for each object one of the region's sites that fetch the snapshot, its carrier, asks the others far away; its neighbours
 * ask the carrier. All compute the same carrier from the object's digest and the names of the sites that have told that
 * they have begun. Pure; views may differ for a moment, which costs an object twice.
 */

import { hex } from '../../base/bytes.ts'
import type { Cid } from '../../block/cid.ts'
import type { Place } from '../../topology/path-class.ts'
import type { FetchMember } from '../fetch-network.ts'
import { affinity } from '../scheduler/rendezvous.ts'

/** What a member has told of the snapshot. */
export type Told = 'begun' | 'complete'

/** Neighbours asked beside the carrier: they may have begun long ago. */
const OTHERS = 2

export interface ObjectSources {
  /** Neighbours, the likeliest first. */
  readonly near: readonly string[]
  /** Those of the region that are not in `near`: asked when nobody else has it. */
  readonly otherNear: readonly string[]
  /** The neighbour that gets the object for the region; undefined when this site does. */
  readonly carrier: string | undefined
  /** In the order in which they are asked. */
  readonly far: readonly string[]
}

/** @param members connected and to be trusted */
export function objectSources(
  cid: Cid,
  members: readonly FetchMember[],
  {
    self,
    origin,
    told,
  }: {
    readonly self: Place
    readonly origin?: Place | undefined
    readonly told: (peer: string) => Told | undefined
  },
): ObjectSources {
  const key = hex(cid.multihash.digest)
  const isOrigin = ({ site, region }: Place): boolean => site === origin?.site && region === origin.region
  /** The origin's own link is the one that all depend on: it is no neighbour. */
  const isNear = (member: FetchMember): boolean => member.region === self.region && !isOrigin(member)
  const near = members.filter(isNear).map((member) => ({
    ...member,
    told: told(member.peer),
    rank: affinity(key, member.site),
  }))
  near.sort((a, b) => b.rank - a.rank)
  const have = near.filter((member) => member.told === 'complete').map(({ peer }) => peer)
  const begun = near.filter((member) => member.told === 'begun')
  const first = begun.find(({ wants }) => wants)
  const carrier = first !== undefined && first.rank > affinity(key, self.site) ? first.peer : undefined
  const likely = [...have, ...begun.slice(0, 1 + OTHERS).map(({ peer }) => peer)]
  const far = members
    .filter((member) => !isNear(member))
    .map((member) => ({
      peer: member.peer,
      // One that has all of it for certain, then the origin, then whoever may. An origin in this region is nearer than they are.
      order: isOrigin(member)
        ? member.region === self.region
          ? 0
          : 2
        : told(member.peer) === 'complete'
          ? 1
          : 3,
    }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ peer }) => peer)
  return {
    near: likely,
    otherNear: near.map(({ peer }) => peer).filter((peer) => !likely.includes(peer)),
    carrier: have.length > 0 ? undefined : carrier,
    far,
  }
}
