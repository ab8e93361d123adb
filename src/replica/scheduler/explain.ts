/** Why each block is where it is: the scheduler's state, for people. Nothing is decided here. */
import { roomBytes } from './choose.ts'
import type { SegmentState } from './page.ts'
import { isHeldFar } from './page.ts'
import type { PathLimit } from './path-shares.ts'
import type { PeerState } from './peer.ts'
import { entriesOf, ownersOf } from './roster.ts'
import type { SchedulerState } from './state.ts'
import { awaitedRegion, openTier } from './tiers.ts'
import type { Explanation, PeerExplanation, SegmentExplanation } from './types.ts'

export function explain(state: SchedulerState, nowMs: number): Explanation {
  const asked = askedSites(state)
  const segments = [...state.pages.values()].flatMap((page) => {
    const owners = ownersOf(state, page)
    const entries = entriesOf(state, page)
    const withheld = new Set([...page.withheld].map((offset) => page.segmentOf[offset]!))
    const left = new Set([...page.withheldFromFar].map((offset) => page.segmentOf[offset]!))
    return page.segments
      .filter(({ missing }) => missing > 0)
      .map((segment): SegmentExplanation => {
        const { index, firstBlock, endBlock, missing } = segment
        const owner = owners[index] ?? state.settings.self.site
        const entry = entries[index]
        return {
          page: page.page,
          firstBlock,
          endBlock,
          missingBlocks: missing,
          owner,
          ...(entry === undefined ? {} : { entry }),
          askedOf: asked.get(segment) ?? [],
          state: stateOf(state, segment, withheld.has(index), left.has(index), owner, entry),
        }
      })
  })
  return {
    segments,
    peers: [...state.peers.values()].map((peer) => explainPeer(state, peer, nowMs)),
    requestedBlocks: { ...state.requestedBlocks },
    duplicateBlocks: state.duplicateBlocks,
  }
}

/** Sites that owe blocks of a segment, with the reason for which they were asked. */
function askedSites(state: SchedulerState): Map<SegmentState, { site: string; reason: string }[]> {
  const asked = new Map<SegmentState, { site: string; reason: string }[]>()
  for (const { peer, page: number, due, reason } of state.requests.values()) {
    const page = state.pages.get(number)
    if (page === undefined) continue
    for (const index of new Set([...due].map((offset) => page.segmentOf[offset]!))) {
      const segment = page.segments[index]!
      const known = asked.get(segment) ?? []
      asked.set(segment, known)
      if (!known.some((other) => other.site === peer.place.site && other.reason === reason))
        known.push({ site: peer.place.site, reason })
    }
  }
  return asked
}

function stateOf(
  state: SchedulerState,
  segment: SegmentState,
  isWithheld: boolean,
  isLeft: boolean,
  owner: string,
  entry: string | undefined,
): string {
  const { self } = state.settings
  if (segment.open === 0 && isWithheld) return 'made of deltas, or waits for them'
  if (segment.open === 0) return isLeft ? 'left to a neighbour, which makes it of deltas' : 'asked for'
  if (segment.ready > 0) return `${segment.ready} blocks held in this region`
  const awaited = awaitedRegion(state, segment, entry)
  if (awaited !== undefined) return `waits for region ${awaited}, which takes it first`
  if (owner !== self.site) return `waits for ${owner}, which takes it over the WAN`
  return isHeldFar(segment, openTier(state, entry))
    ? 'this site takes it over the WAN'
    : 'this site takes it over the WAN as soon as a source has it'
}

function explainPeer(state: SchedulerState, peer: PeerState, nowMs: number): PeerExplanation {
  const limit = state.share.limit(peer.peer)
  const { bytes, pathBytes, fetches, othersQueueMs } = limit
  return {
    peer: peer.peer,
    site: peer.place.site,
    region: peer.place.region,
    path: peer.isNear ? 'near' : 'far',
    tier: peer.tier,
    holds: peer.isComplete ? 'complete' : peer.hasAnswered ? 'part' : 'unknown',
    inFlightBytes: peer.inFlightBytes,
    pipelineBytes: Math.round(bytes),
    pathPipelineBytes: Math.round(pathBytes),
    pathFetches: fetches,
    bytesPerSecond: Math.round(peer.rate),
    ...(othersQueueMs === undefined ? {} : { othersQueueMs: Math.round(othersQueueMs) }),
    state: peerState(state, peer, limit, nowMs),
  }
}

/** In use or not, and what limits it. */
function peerState(
  state: SchedulerState,
  peer: PeerState,
  { fetches, othersQueueMs }: PathLimit,
  nowMs: number,
): string {
  if (!peer.isConnected) return 'not connected'
  if (peer.isStalled) return 'stalled: its requests went elsewhere'
  if (nowMs < peer.backoffUntilMs) return 'backing off'
  if (peer.isSilent) return 'lost its lease: no progress'
  if (peer.isHoarding) return 'lost its lease: nothing of use'
  if (peer.inFlightBytes === 0) return 'idle: nothing is wanted of it now'
  if (othersQueueMs !== undefined)
    return `in use; other traffic on the path is the limit, ${Math.round(othersQueueMs)} ms of queue`
  if (roomBytes(state, peer) > 0) return 'in use; what it has that is wanted is asked for'
  return fetches === 1
    ? 'in use; its link or its own speed is the limit'
    : `in use; its path is the limit, which ${fetches} fetches share`
}
