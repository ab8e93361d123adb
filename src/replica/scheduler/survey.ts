/**
 * Who is waited for, and for how long: the leases of the owners in this region, and of the regions by which segments
 * enter. It looks at every segment, so it is made when something has changed that it rests on, and otherwise ten times a
 * second: leases are of seconds.
 */
import type { PageState, SegmentState } from './page.ts'
import { isHeldFar } from './page.ts'
import { leaseMs, segmentLeaseMs } from './peer.ts'
import { entriesOf, ownersOf } from './roster.ts'
import type { Awaited, SchedulerState, Survey } from './state.ts'
import { awaitedRegion, endRegionLeases, isOverdue, openTier } from './tiers.ts'

export const SURVEY_INTERVAL_MS = 100
/** News that help nobody here keep a lease for this many times its length, which an owner could stretch itself. */
const MAX_USELESS_LEASES = 15
const MAX_USELESS_LEASE_MS = 8000

/** @param isIdle nothing is asked of far peers */
export function survey(state: SchedulerState, isIdle: boolean, nowMs: number): Survey {
  const awaited = new Map<string, Awaited>()
  const awaitedRegions = new Map<string, Awaited>()
  const waiting = new Set<string>()
  let ownBytes = 0
  for (const page of state.pages.values()) {
    if (page.open === page.ready) continue
    const owners = ownersOf(state, page)
    const entries = entriesOf(state, page)
    for (const segment of page.segments) {
      if (segment.open === segment.ready) continue
      const owner = owners[segment.index]!
      const isOwn = owner === state.settings.self.site
      const entry = entries[segment.index]
      const region = awaitedRegion(state, segment, entry)
      if (region !== undefined) {
        // Whoever owns it here, nobody can take it yet: no owner loses its lease for that.
        waiting.add(region)
        if (isOverdue(state, segment, region)) addAwaited(awaitedRegions, region, page, segment, isOwn)
      } else if (isOwn) {
        if (state.settings.origin === undefined || isHeldFar(segment, openTier(state, entry)))
          ownBytes += segment.openBytes - segment.readyBytes
      } else addAwaited(awaited, owner, page, segment, true)
    }
  }
  const isProgressing = (lease: number): boolean => isIdle || nowMs - state.farAnswerMs < lease
  const owners = endOwnerLeases(state, awaited, isProgressing, nowMs)
  const regions = endRegionLeases(state, waiting, isProgressing, nowMs)
  return {
    ownBytes,
    awaited,
    awaitedRegions,
    hasLapsed: owners.hasLapsed || regions.hasLapsed,
    wakeMs: Math.min(owners.wakeMs, regions.wakeMs),
  }
}

function endOwnerLeases(
  state: SchedulerState,
  awaited: ReadonlyMap<string, Awaited>,
  isProgressing: (leaseMs: number) => boolean,
  nowMs: number,
): { hasLapsed: boolean; wakeMs: number } {
  let hasLapsed = false
  let wakeMs = Number.POSITIVE_INFINITY
  for (const peer of state.peers.values()) {
    if (!peer.isNear || !peer.wants || peer.isSilent || peer.isHoarding) continue
    if (!awaited.has(peer.place.site)) {
      peer.awaitedSinceMs = undefined
      continue
    }
    peer.awaitedSinceMs ??= nowMs
    if (!peer.isConnected) {
      wakeMs = Math.min(wakeMs, peer.graceUntilMs)
      continue
    }
    const lease = leaseMs(peer, state)
    // Whoever talks seldom gets longer leases, but no more time until something comes of it.
    const segmentMs = segmentLeaseMs(peer, state)
    if (
      nowMs - Math.max(peer.usefulMs, peer.awaitedSinceMs) >
      MAX_USELESS_LEASES * Math.min(segmentMs, MAX_USELESS_LEASE_MS)
    ) {
      peer.isHoarding = true
      hasLapsed = true
      continue
    }
    const endsMs = Math.max(peer.newsMs, peer.awaitedSinceMs) + lease
    if (nowMs < endsMs) wakeMs = Math.min(wakeMs, endsMs)
    else if (isProgressing(lease)) {
      peer.isSilent = true
      hasLapsed = true
    }
  }
  return { hasLapsed, wakeMs }
}

function addAwaited(
  awaited: Map<string, Awaited>,
  name: string,
  page: PageState,
  segment: SegmentState,
  isMine: boolean,
): void {
  const bytes = segment.openBytes - segment.readyBytes
  const known = awaited.get(name)
  const last = isMine ? { page, segment } : known?.last
  if (known === undefined) awaited.set(name, { bytes, last })
  else {
    known.bytes += bytes
    known.last = last
  }
}
