/**
 * How far away the copies of a block are, and which of them this site may ask for one.
 *
 * Tier 0 are the sites of this region. Beyond it, seen from any other region than the origin's: 1 the other regions,
 * 2 the origin's region, 3 the origin itself. Seen from the origin's own region: 1 the origin, 2 the other regions.
 * The origin is never near, even to its neighbours: like a WAN link, its uplink carries each block once, and
 * whoever owns the segment takes it.
 *
 * Each segment leaves the origin's region once: towards its entry region, chosen by rendezvous hashing over the regions
 * that want the tree (each in proportion to its pipe). The other regions wait until a copy is outside, and take it from
 * there; so every region's pipe carries about one copy upwards, the origin's as well. Who computes another answer for
 * a moment, or gives up a region that makes no progress, causes bounded duplicates and no error.
 *
 * Where the other sites of the origin's region have declared pipes that together carry less than half of what it sends, they are
 * no relays: entry regions ask the origin before them, and they take from the other regions what is there.
 */

import type { Place } from '../../topology/path-class.ts'
import type { PageState, SegmentState } from './page.ts'
import { farTierOf, isHeldBy, isHeldFar } from './page.ts'
import { leaseMs } from './peer.ts'
import { regionOf } from './region.ts'
import type { SchedulerState } from './state.ts'
import type { SchedulerSettings } from './types.ts'

export const NEAR = 0
export const FARTHEST = 3
/** Where relays are slow: they take from other regions what is there, and are themselves asked last. */
const ORDER_AT_ORIGIN = [2, 1] as const
const ORDER_ELSEWHERE = [1, 3, 2] as const

/** The tier of a peer. */
export function tierOf({ self, origin }: Pick<SchedulerSettings, 'self' | 'origin'>, place: Place): number {
  const isNeighbour = place.region === self.region
  if (origin === undefined) return isNeighbour ? NEAR : 1
  const isOrigin = place.site === origin.site && place.region === origin.region
  if (self.region === origin.region) return isOrigin ? 1 : isNeighbour ? NEAR : 2
  if (isNeighbour) return NEAR
  return isOrigin ? FARTHEST : place.region === origin.region ? 2 : 1
}

/** The farthest tier that the owner of a segment may ask. */
export function openTier(state: SchedulerState, entry: string | undefined): number {
  const { self, origin } = state.settings
  if (origin === undefined) return FARTHEST
  if (self.region === origin.region) return state.hasOrigin ? (state.hasSlowRelays ? 2 : 1) : FARTHEST
  if (entry !== undefined && entry !== self.region) return 1
  return state.hasRelays ? 2 : FARTHEST
}

/** The region that has to take the segment first; undefined when the owner can go and get it. */
export function awaitedRegion(
  state: SchedulerState,
  segment: SegmentState,
  entry: string | undefined,
): string | undefined {
  const { self, origin } = state.settings
  if (origin === undefined || isHeldFar(segment, openTier(state, entry))) return undefined
  if (self.region === origin.region) return undefined
  if (entry !== undefined && entry !== self.region) return entry
  return state.hasRelays ? origin.region : undefined
}

/** The tier that the owner of a segment asks for a block, of those up to `maxTier`; 0 when none has it. */
export function tierFor(state: SchedulerState, page: PageState, offset: number, maxTier: number): number {
  if (!state.hasSlowRelays) return farTierOf(page, offset, maxTier)
  const { self, origin } = state.settings
  const order = self.region === origin?.region ? ORDER_AT_ORIGIN : ORDER_ELSEWHERE
  return order.find((tier) => tier <= maxTier && isHeldBy(page, tier, offset)) ?? NEAR
}

/**
 * The region could have taken the segment by now: the origin's region has it. While that waits for the origin itself,
 * nobody is slow, and taking it elsewhere would only load the origin twice.
 */
export function isOverdue(state: SchedulerState, segment: SegmentState, region: string): boolean {
  if (region === state.settings.origin?.region) return false
  return !state.hasRelays || segment.held[1]! > 0
}

/**
 * Ends the leases of regions that are waited for and told of nothing new. True when one ended.
 * @param awaited regions that this site waits for @param isProgressing something came over the WAN a lease ago or less
 */
export function endRegionLeases(
  state: SchedulerState,
  awaited: ReadonlySet<string>,
  isProgressing: (leaseMs: number) => boolean,
  nowMs: number,
): { hasLapsed: boolean; wakeMs: number } {
  let hasLapsed = false
  let wakeMs = Number.POSITIVE_INFINITY
  for (const name of awaited) regionOf(state.regions, name, nowMs)
  for (const region of state.regions.values()) {
    if (region.isSilent) continue
    if (!awaited.has(region.region)) {
      region.awaitedSinceMs = undefined
      continue
    }
    region.awaitedSinceMs ??= nowMs
    const lease = leaseMs(region, state)
    const endsMs = Math.max(region.newsMs, region.awaitedSinceMs) + lease
    if (nowMs < endsMs) wakeMs = Math.min(wakeMs, endsMs)
    else if (isProgressing(lease)) {
      region.isSilent = true
      hasLapsed = true
    }
  }
  return { hasLapsed, wakeMs }
}
