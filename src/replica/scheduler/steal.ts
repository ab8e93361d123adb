/**
 * What a site does that has nothing of its own left to ask for while others would need longer than a lease for what they have
 * left: it takes some of that, from the end, since they work from the front.
 *
 * Of an owner in this region one segment at a time. Of a region by which segments enter, up to half of what is left, but only the
 * segments of which this region is the next in line: the others are taken by the regions that are, and come from there. So a slow
 * region of which nothing is declared costs the others little time, and the origin's link little more than one copy.
 */

import type { Source } from './choose.ts'
import { choose, hasRoom, isIdle, issue, viewsOf } from './choose.ts'
import { nextInLine } from './rendezvous.ts'
import { entriesOf, ownersOf } from './roster.ts'
import type { Awaited, SchedulerState } from './state.ts'
import { awaitedRegion, FARTHEST, isOverdue } from './tiers.ts'
import type { SchedulerCommand } from './types.ts'

/** Those who are next in line have had this many leases to take their part: then anybody takes it. */
const LEASES_IN_LINE = 4

interface Slow {
  readonly waiting: Awaited
  readonly region: string | undefined
  readonly needsMs: number
}

export function steal(
  state: SchedulerState,
  far: readonly Source[],
  nowMs: number,
  commands: SchedulerCommand[],
): void {
  if (state.ownBytes > 0 || !isIdle(far)) return
  const { minLeaseMs } = state.settings
  const slowest = slowestOf(state, nowMs)
  if (slowest === undefined) return
  const { waiting, region, needsMs } = slowest
  const hasTaken = region !== undefined && takeInLine(state, far, region, waiting.bytes / 2)
  const isAnybodys = region === undefined || (!hasTaken && needsMs > LEASES_IN_LINE * minLeaseMs)
  if (isAnybodys && waiting.last !== undefined) {
    const { page, segment } = waiting.last
    choose(state, page, segment, viewsOf(far, page.page), FARTHEST)
  }
  issue(state, far, 'steal', nowMs, commands)
  // What is left is less, and ends elsewhere.
  state.isSurveyDue = true
}

/** The owner or region that needs the longest for what is waited for, if that is longer than a lease. */
function slowestOf(state: SchedulerState, nowMs: number): Slow | undefined {
  const { minLeaseMs } = state.settings
  const { awaited, awaitedRegions } = state.survey
  let slowest: Slow | undefined
  const consider = (
    waiting: Awaited | undefined,
    lease: { readonly newsRate: number; readonly awaitedSinceMs: number | undefined },
    region: string | undefined,
  ): void => {
    if (waiting === undefined || lease.newsRate === 0) return
    if (nowMs - (lease.awaitedSinceMs ?? nowMs) < minLeaseMs) return
    const needsMs = (1000 * waiting.bytes) / lease.newsRate
    if (needsMs > (slowest?.needsMs ?? minLeaseMs)) slowest = { waiting, region, needsMs }
  }
  for (const peer of state.peers.values())
    if (peer.isNear) consider(awaited.get(peer.place.site), peer, undefined)
  for (const region of state.regions.values())
    consider(awaitedRegions.get(region.region), region, region.region)
  return slowest
}

/** True when some of the segments that this region is next in line for could be asked for. */
function takeInLine(
  state: SchedulerState,
  far: readonly Source[],
  region: string,
  maxBytes: number,
): boolean {
  let takenBytes = 0
  const { self } = state.settings
  for (const page of [...state.pages.values()].reverse()) {
    if (page.open === page.ready) continue
    ownersOf(state, page)
    const entries = entriesOf(state, page)
    const views = viewsOf(far, page.page)
    for (const segment of page.own.toReversed()) {
      if (takenBytes >= maxBytes || !hasRoom(far)) return takenBytes > 0
      if (segment.open === segment.ready || !isOverdue(state, segment, region)) continue
      if (awaitedRegion(state, segment, entries[segment.index]) !== region) continue
      const next = nextInLine(page.key, segment.index, state.entryCandidates, `region ${region}`)
      if (next !== `region ${self.region}`) continue
      const before = segment.openBytes
      choose(state, page, segment, views, FARTHEST)
      takenBytes += before - segment.openBytes
    }
  }
  return takenBytes > 0
}
