/** The members as fetches see them: who can be asked, and who shares the work on what this site takes of a tree. */
import type { Clock } from '../../base/clock.ts'
import { covers, type PathFilter } from '../../base/path-filter.ts'
import { type Member, type MeshState, mayRead } from '../../record/mesh-state.ts'
import { silentAfterMs } from '../announce-period.ts'
import type { FetchMembers } from '../fetch-network.ts'
import { filterOf, isWanted } from '../goals.ts'
import type { HeardSite } from '../status/status.ts'
import type { SiteAnnouncement } from '../status/status-announcement.ts'

export interface MemberKeeperComponents {
  readonly state: () => MeshState
  readonly connected: () => ReadonlySet<string>
  readonly heard: () => ReadonlyMap<string, HeardSite>
  readonly shunned: () => readonly string[]
  /** Unconnected members of the region are taken to be on their way. */
  readonly isStarting: () => boolean
  readonly filterOf: (tree: string) => PathFilter | undefined
  readonly clock: Clock
  readonly self: { readonly peer: string; readonly region: string }
}

export interface MemberKeeper extends FetchMembers {
  /** They may have changed: fetches look again. */
  notify(): void
  /** A site said something: fetches look again when it paused or resumed one. */
  heard(peer: string): void
}

export function createMemberKeeper(components: MemberKeeperComponents): MemberKeeper {
  const { state, connected, heard, shunned, isStarting, clock, self } = components
  const listeners = new Set<() => void>()
  const pausedAt = new Map<string, string>()

  function notify(): void {
    for (const listener of [...listeners]) listener()
  }

  return {
    list(tree) {
      const now = state()
      const [there, said, shun] = [connected(), heard(), new Set(shunned())]
      const silentMs = silentAfterMs(now.members.size)
      const nowMs = clock.nowMs()
      const filter = components.filterOf(tree)
      return [...now.members.values()].flatMap((member) => {
        const { peer, site, region } = member
        if (peer === self.peer || !member.isActive || shun.has(peer)) return []
        // Of a private tree only its readers take a share, and are asked.
        if (!mayRead(now, tree, peer, nowMs)) return []
        const isConnected = there.has(peer)
        const last = said.get(peer)
        const isHeard = last !== undefined && last.isGone !== true && last.ageMs <= silentMs
        const isExpected = isStarting() || isHeard
        if (!isConnected && !(isExpected && region === self.region)) return []
        // What a site paused it takes no share of, and it still gives what it has.
        const wish =
          last !== undefined && pausedTrees(last.announcement).has(tree)
            ? { wants: false }
            : wishOf(now, tree, filter, member, nowMs)
        return [{ peer, site, region, ...wish, isConnected }]
      })
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    notify,
    heard(peer) {
      const last = heard().get(peer)
      const paused = last === undefined ? '' : [...pausedTrees(last.announcement)].join(' ')
      if (paused === (pausedAt.get(peer) ?? '')) return
      if (paused === '') pausedAt.delete(peer)
      else pausedAt.set(peer, paused)
      notify()
    },
  }
}

const NONE: ReadonlySet<string> = new Set()
const known = new WeakMap<SiteAnnouncement, ReadonlySet<string>>()

/** Asked for each member each time that one comes or goes. */
function pausedTrees(announcement: SiteAnnouncement): ReadonlySet<string> {
  if (announcement.pauses === undefined) return NONE
  const found = known.get(announcement)
  if (found !== undefined) return found
  const trees = new Set(announcement.pauses.map(({ tree }) => tree))
  known.set(announcement, trees)
  return trees
}

/** Whether the member shares the work on what this site takes of the tree. */
function wishOf(
  state: MeshState,
  tree: string,
  filter: PathFilter | undefined,
  member: Member,
  nowMs: number,
): { readonly wants: boolean; readonly wantsMore?: boolean } {
  if (!isWanted(state, tree, member, nowMs)) return { wants: false }
  const theirs = filterOf(state, tree, member)
  if (!covers(theirs, filter)) return { wants: false }
  return covers(filter, theirs) ? { wants: true } : { wants: true, wantsMore: true }
}
