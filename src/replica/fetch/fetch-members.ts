/**
 * Follows the members of the mesh during one fetch: tells the scheduler who comes and goes, and keeps one watch on
 * what each of them holds. All of the region are watched, the tree's origin, and of every other region a few: what one
 * of its sites has, its neighbours have a moment later. Each site picks others, so that none is watched by all.
 */
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import type { Place } from '../../topology/path-class.ts'
import type { FetchMember, FetchMembers, FetchNetwork } from '../fetch-network.ts'
import { affinity } from '../scheduler/rendezvous.ts'
import type { SchedulerEvent } from '../scheduler/types.ts'
import type { Told } from './object-sources.ts'

/** Shared by the other regions, of each of which one site at least is watched. */
const FAR_WATCHES = 24
const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 10_000

export interface FollowOptions {
  readonly tree: string
  readonly snapshot: Cid
  readonly self: Place
  readonly origin?: Place | undefined
  readonly signal: AbortSignal
  readonly isBlamed: (peer: string) => boolean
  /** Resolves when holdings can be taken in. Until then they wait at their sender: a few bytes may name many blocks. */
  readonly ready: Promise<void>
  readonly onEvents: (events: readonly SchedulerEvent[]) => void
  readonly onGone: (peer: string) => void
  /** Those that want more are sources, and not waited for. */
  readonly isAlone?: boolean
}

export interface Follower {
  /** What a connected member has said of the snapshot. */
  told(peer: string): Told | undefined
  /** Looks at the list of members again. */
  refresh(): void
  close(): void
}

export function followMembers(
  { network, members, clock }: { network: FetchNetwork; members: FetchMembers; clock: Clock },
  { tree, snapshot, self, origin, signal, isBlamed, ready, onEvents, onGone, isAlone = false }: FollowOptions,
): Follower {
  const known = new Map<string, FetchMember>()
  const watches = new Map<string, AbortController>()
  const said = new Map<string, Told>()
  let isReady = false
  void ready.then(() => {
    isReady = true
  })

  function refresh(): void {
    if (signal.aborted) return
    const listed = new Map(
      members
        .list(tree)
        .map((member) => (isAlone && member.wantsMore === true ? apart(member) : member))
        .map((member) => [member.peer, member]),
    )
    const events: SchedulerEvent[] = []
    for (const peer of [...known.keys()]) {
      if (listed.has(peer) && !isBlamed(peer)) continue
      known.delete(peer)
      endWatch(peer)
      events.push({ kind: 'peer-left', peer })
    }
    for (const member of listed.values()) {
      const before = known.get(member.peer)
      if (isBlamed(member.peer)) continue
      if (!member.isConnected) endWatch(member.peer)
      if (before === undefined || !isSame(before, member)) {
        const { peer, site, region, wants, wantsMore, isConnected } = member
        const more = wantsMore === true ? { wantsMore } : {}
        events.push({ kind: 'peer', peer, place: { site, region }, wants, ...more, isConnected })
        known.set(peer, member)
      }
    }
    if (events.length > 0) onEvents(events)
    const connected = [...known.values()].filter(({ isConnected }) => isConnected)
    for (const member of connected) if (isAlwaysWatched(member)) beginWatch(member)
    watchFar(connected.filter((member) => !isAlwaysWatched(member)))
  }

  function isAlwaysWatched({ site, region }: FetchMember): boolean {
    return region === self.region || (region === origin?.region && site === origin.site)
  }

  function watchFar(far: readonly FetchMember[]): void {
    const byRegion = Map.groupBy(far, ({ region }) => region)
    const share = Math.max(1, Math.floor(FAR_WATCHES / Math.max(1, byRegion.size)))
    for (const sites of byRegion.values()) {
      let count = sites.filter(({ peer }) => watches.has(peer)).length
      if (count >= share) continue
      // Those that have the tree, or will.
      const inOrder = sites
        .filter(({ peer }) => !watches.has(peer))
        .map((member) => ({ member, rank: (member.wants ? 1 : 0) + affinity(self.site, member.peer) }))
        .toSorted((a, b) => b.rank - a.rank)
      for (const { member } of inOrder) {
        if (count++ >= share) break
        beginWatch(member)
      }
    }
  }

  function beginWatch({ peer }: FetchMember): void {
    if (watches.has(peer) || signal.aborted) return
    const abort = new AbortController()
    watches.set(peer, abort)
    void watch(peer, AbortSignal.any([signal, abort.signal]))
  }

  function endWatch(peer: string): void {
    const abort = watches.get(peer)
    if (abort === undefined) return
    watches.delete(peer)
    said.delete(peer)
    abort.abort(new MirrorError('aborted', 'the peer is gone'))
    onGone(peer)
  }

  /** Ends when the peer holds everything, or with the signal; a watch that breaks is begun again. */
  async function watch(peer: string, ends: AbortSignal): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !ends.aborted; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
      try {
        for await (const update of network.watch(peer, { tree, snapshot }, ends)) {
          if (ends.aborted) return
          if (update.kind !== 'unknown') said.set(peer, update.kind === 'complete' ? 'complete' : 'begun')
          if (!isReady) await orAborted(ready, ends)
          if (ends.aborted) return
          onEvents([{ kind: 'holding', peer, update }])
          if (update.kind === 'complete') return
          pauseMs = FIRST_PAUSE_MS
        }
      } catch {
        // Unreachable, refused or broken: whatever it was, the next try shows whether it lasts.
      }
      await sleep(clock, pauseMs, ends).catch(() => undefined)
    }
  }

  const unsubscribe = members.onChange(refresh)
  return {
    told: (peer) => said.get(peer),
    refresh,
    close() {
      unsubscribe()
      for (const abort of watches.values()) abort.abort(new MirrorError('aborted', 'the fetch ended'))
      watches.clear()
    },
  }
}

function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
    void promise.then(resolve)
  })
}

function isSame(a: FetchMember, b: FetchMember): boolean {
  return (
    a.site === b.site &&
    a.region === b.region &&
    a.wants === b.wants &&
    (a.wantsMore === true) === (b.wantsMore === true) &&
    a.isConnected === b.isConnected
  )
}

/** As one that does not want the tree: it may hold some of it. */
function apart({ wantsMore: _, ...member }: FetchMember): FetchMember {
  return { ...member, wants: false }
}
