/**
 * Who shares the work: the sites of this region, by which each segment has its owner, and the regions by which segments
 * leave the origin's. Looked at again only when something has changed that it rests on.
 */

import type { PageState } from './page.ts'
import { FIRST_STALL_BACKOFF_MS, type PeerState } from './peer.ts'
import { assignOwners } from './rendezvous.ts'
import type { SchedulerState } from './state.ts'

/**
 * Of what the origin sends, so much has to pass through the other sites of its region together. Where they are slower, all regions
 * would wait for them: then the entry regions ask the origin itself.
 */
const MIN_RELAYS = 0.5

/** True when owners, entry regions, or whom a segment may be asked of, are other ones than before. */
export function updateRoster(state: SchedulerState, nowMs: number): boolean {
  if (!state.isRosterStale && nowMs < state.rosterUntilMs) return false
  const { membersVersion, entriesVersion, hasRelays, hasOrigin, hasSlowRelays } = state
  state.isRosterStale = false
  state.rosterUntilMs = Number.POSITIVE_INFINITY
  for (const { isConnected, graceUntilMs } of state.peers.values())
    if (!isConnected && graceUntilMs > nowMs)
      state.rosterUntilMs = Math.min(state.rosterUntilMs, graceUntilMs)
  updateMembers(state, nowMs)
  updateRegions(state, nowMs)
  const isSame =
    membersVersion === state.membersVersion &&
    entriesVersion === state.entriesVersion &&
    hasRelays === state.hasRelays &&
    hasOrigin === state.hasOrigin &&
    hasSlowRelays === state.hasSlowRelays
  if (!isSame) state.changes++
  return !isSame
}

/**
 * Sites of this region that share the segments now: this one, and those that fetch, are reachable and keep their lease. Where
 * some of them want more than this site does, they take all: they would anyway, and know nothing of what this one took.
 */
function updateMembers(state: SchedulerState, nowMs: number): void {
  const { self, weights } = state.settings
  const equals = new Set([self.site])
  const more = new Set<string>()
  for (const peer of state.peers.values()) {
    if (!peer.isNear || !peer.wants || peer.isComplete || peer.isSilent || peer.isHoarding) continue
    if (peer.isStalled && !isLateForOnce(peer)) continue
    if (peer.isConnected || nowMs < peer.graceUntilMs) (peer.wantsMore ? more : equals).add(peer.place.site)
  }
  const sites = more.size > 0 ? more : equals
  const sorted = [...sites].sort()
  const members = sorted.join(' ')
  if (members === state.members) return
  state.members = members
  state.membersVersion++
  state.candidates = sorted.map((site) => {
    const place = { site, region: self.region }
    return { site, weight: weights.site(place), rank: weights.rank(place) }
  })
}

/** It may be busy, and go on with its share all the same: to take that over would only bring it twice. Its lease tells. */
function isLateForOnce({ backoffMs, slowBackoffMs }: PeerState): boolean {
  return slowBackoffMs === 0 && backoffMs > 0 && backoffMs <= FIRST_STALL_BACKOFF_MS
}

/** Regions that segments may enter by, and whether sites beside the origin pass them on. */
function updateRegions(state: SchedulerState, nowMs: number): void {
  const { self, origin, weights } = state.settings
  if (origin === undefined) return
  const equals = new Set(self.region === origin.region ? [] : [self.region])
  const more = new Set<string>()
  const isAtOrigin = self.region === origin.region
  let relays = isAtOrigin ? weights.relay(self, origin) : 0
  state.hasOrigin = false
  for (const peer of state.peers.values()) {
    if (!isLive(peer, nowMs)) continue
    const { region, site } = peer.place
    const regions = peer.wantsMore ? more : equals
    const isSilent = state.regions.get(region)?.isSilent === true
    if (region !== origin.region) {
      if (!isSilent) regions.add(region)
    } else if (site === origin.site) state.hasOrigin = true
    else if (!isSilent) relays += weights.relay(peer.place, origin)
  }
  state.hasRelays = relays >= MIN_RELAYS
  state.hasSlowRelays = state.hasOrigin && relays > 0 && !state.hasRelays
  // As with sites: where others outside the origin's region want more, it enters by them.
  const sorted = [...(more.size > 0 ? more : equals)].sort()
  const names = sorted.join(' ')
  if (names === state.entryRegions) return
  state.entryRegions = names
  state.entriesVersion++
  // A name that no site has: the choice of regions is independent of the choice of sites within them.
  state.entryCandidates = sorted.map((region) => ({
    site: `region ${region}`,
    weight: weights.region(region),
  }))
}

function isLive(
  { isConnected, graceUntilMs, isStalled, wants, isComplete }: PeerState,
  nowMs: number,
): boolean {
  return (isConnected || nowMs < graceUntilMs) && !isStalled && (wants || isComplete)
}

/** Owner of each segment of a page under the present membership; `page.own` follows. */
export function ownersOf(state: SchedulerState, page: PageState): readonly string[] {
  if (page.ownersVersion !== state.membersVersion) {
    const { site } = state.settings.self
    const sizes = page.segments.map(({ sizeBytes }) => sizeBytes)
    page.owners = assignOwners(page.key, sizes, state.candidates)
    page.own = page.segments.filter(({ index }) => page.owners[index] === site)
    page.ownersVersion = state.membersVersion
  }
  return page.owners
}

/** The region by which each segment of a page leaves the origin's. Empty where the rule does not apply. */
export function entriesOf(state: SchedulerState, page: PageState): readonly string[] {
  if (page.entriesVersion !== state.entriesVersion) {
    const sizes = page.segments.map(({ sizeBytes }) => sizeBytes)
    const owners = assignOwners(page.key, sizes, state.entryCandidates)
    page.entries = owners.map((name) => name.slice('region '.length))
    page.entriesVersion = state.entriesVersion
  }
  return page.entries
}
