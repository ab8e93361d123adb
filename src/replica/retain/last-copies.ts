/**
 * Whether a snapshot that nothing asks this site to keep has to stay here all the same, since it may be the last copy of one
 * that the pins of others want. Pure.
 *
 * Every site puts the sites that a snapshot is pinned to in one order: those first whose own pins keep it, then by rendezvous
 * hashing. A site drops what is wanted only while as many before it in that order as there are to be keepers say that they
 * hold it. So the first ones, the keepers, never do, and of those that hold it the first one never does, whatever the others
 * have heard: all may plan at once, and in each half of a mesh that is cut one that has it goes on having it. What is
 * not pinned here comes last. It rests on the sites' knowing the same pins: who has missed a change of those may
 * count on a keeper that is none any more. There are two keepers, so one such mistake loses nothing.
 *
 * What a site says is a claim (site-agent/gossip.ts). It counts while it is fresh by two clocks, when it came and when it was
 * sent: where clocks disagree nothing goes.
 */
import { matchesTree } from '../../base/names.ts'
import { covers, type PathFilter } from '../../base/path-filter.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import type { PinKeep } from '../../record/kinds/pin.ts'
import { isMemberAt, type MeshState, type TreeState } from '../../record/mesh-state.ts'
import { silentAfterMs } from '../announce-period.ts'
import { filterOf, hasRight, isWanted, keepOf } from '../goals.ts'
import { affinity } from '../scheduler/rendezvous.ts'
import type { HeardSite } from '../status/status.ts'

/** Fewer where fewer sites are to keep the snapshot. */
export const KEEPERS = 2

export interface PinnedSite {
  readonly peer: string
  /** Its own pins keep this snapshot. */
  readonly wants: boolean
}

export type LastCopyVerdict = 'may-go' | 'keeper' | 'not-said'

/**
 * @param snapshotKey bytes of the CID as text: the same everywhere
 * @param pinned the sites that the tree is pinned to and that may have it, in any order, this one too if it is among them
 * @param says whether the site has said lately that it holds the snapshot
 */
export function judgeCopy(
  self: string,
  snapshotKey: string,
  pinned: readonly PinnedSite[],
  says: (peer: string) => boolean,
): LastCopyVerdict {
  const wanting = pinned.filter(({ wants }) => wants).length
  if (wanting === 0) return 'may-go'
  const keepers = Math.min(KEEPERS, wanting)
  const ranked = pinned
    .map(({ peer, wants }) => ({ peer, wants, score: affinity(peer, snapshotKey) }))
    .toSorted((a, b) => Number(b.wants) - Number(a.wants) || b.score - a.score || (a.peer < b.peer ? -1 : 1))
  const at = ranked.findIndex(({ peer }) => peer === self)
  const before = at < 0 ? ranked : ranked.slice(0, at)
  if (before.length < keepers) return 'keeper'
  let saying = 0
  for (const { peer } of before) {
    if (says(peer)) saying++
    if (saying === keepers) return 'may-go'
  }
  return 'not-said'
}

export interface HeldSnapshot {
  readonly tree: string
  readonly snapshot: Cid
  /** What of it is here; absent for all. */
  readonly filter?: PathFilter | undefined
  /** It is the newest of the tree that is complete here. */
  readonly isNewest: boolean
}

export interface LastCopyInput {
  readonly state: MeshState
  readonly self: string
  /** By PeerId. */
  readonly heard: ReadonlyMap<string, HeardSite>
  readonly isGone?: (tree: string, snapshot: Cid) => boolean
  readonly nowMs: number
}

/** Why a snapshot must stay, in words; undefined when it may go. Asked once for each snapshot that would be dropped. */
export function lastCopies({ state, self, heard, isGone, nowMs }: LastCopyInput) {
  const freshMs = silentAfterMs(state.members.size)
  const trees = new Map<string, KeepingSite[]>()
  const sitesOf = (tree: TreeState): KeepingSite[] => {
    const known = trees.get(tree.name)
    if (known !== undefined) return known
    const sites = keepingSites(state, tree, nowMs)
    trees.set(tree.name, sites)
    return sites
  }

  return ({ tree: name, snapshot, filter, isNewest }: HeldSnapshot): string | undefined => {
    const tree = state.trees.get(name)
    if (tree === undefined || tree.body.removed || isGone?.(name, snapshot) === true) return undefined
    // What a site must not have (any more) it does not keep for the others.
    if (!hasRight(state, name, self, nowMs)) return undefined
    const key = cidKey(snapshot)
    const isTagged = [...tree.tags.values()].some(({ body }) => cidKey(body.snapshot) === key)
    const sites = sitesOf(tree).filter((site) => covers(site.filter, filter))
    const pinned = sites.map(({ peer, keys }) => ({
      peer,
      wants: isNewest || isTagged || keys.has(key),
    }))
    const sequences = new Set(
      tree.history.filter((head) => head.snapshot.equals(snapshot)).map((head) => head.sequence),
    )
    const says = (peer: string): boolean => {
      const last = heard.get(peer)
      if (last === undefined || !isFresh(last, freshMs, nowMs)) return false
      const said = last.announcement.trees.find((each) => each.tree === name)
      if (said === undefined) return false
      const isWhole = said.isFiltered !== true || filter !== undefined
      if (isWhole && said.completeSnapshot === snapshot.toString()) return true
      if (said.alsoComplete.some((sequence) => sequences.has(sequence))) return true
      if (
        said.completeRuns?.some(([from, to]) => [...sequences].some((at) => from <= at && at <= to)) === true
      )
        return true
      // The newest here is not the newest of the mesh where a keeper has one after it.
      return (
        isNewest && isWhole && sequences.size > 0 && (said.completeSequence ?? 0) > Math.max(...sequences)
      )
    }
    const verdict = judgeCopy(self, snapshot.toString(), pinned, says)
    if (verdict === 'may-go') return undefined
    return verdict === 'keeper'
      ? 'keeper: a pin elsewhere wants it, and this site is among the first to hold it'
      : 'a pin elsewhere wants it, and others have not said that they hold it'
  }
}

interface KeepingSite {
  readonly peer: string
  readonly filter: PathFilter | undefined
  /** Of the snapshots that its pins keep. */
  readonly keys: ReadonlySet<string>
}

function keepingSites(state: MeshState, tree: TreeState, nowMs: number): KeepingSite[] {
  // Most pins are of other trees.
  const pins = new Map([...state.pins].filter(([, { body }]) => matchesTree(body.tree, tree.name)))
  if (pins.size === 0) return []
  const narrow = { ...state, pins }
  const byKeep = new Map<string, ReadonlySet<string>>()
  const sites: KeepingSite[] = []
  for (const member of state.members.values()) {
    if (!isMemberAt(state, member.peer, nowMs) || !isWanted(narrow, tree.name, member, nowMs)) continue
    const keep = keepOf(narrow, tree.name, member) ?? tree.body.keep ?? { last: 1 }
    const name = JSON.stringify([keep.last, keep.days])
    const keys = byKeep.get(name) ?? keptKeys(tree, keep, nowMs)
    byKeep.set(name, keys)
    sites.push({ peer: member.peer, filter: filterOf(narrow, tree.name, member), keys })
  }
  return sites
}

function keptKeys({ history }: TreeState, { last = 1, days = 0 }: PinKeep, nowMs: number): Set<string> {
  const keys = new Set<string>()
  for (const { snapshot } of history.toReversed()) {
    if (keys.size >= last) break
    keys.add(cidKey(snapshot))
  }
  for (const { snapshot, timeMs } of history) if (nowMs - timeMs < days * DAY_MS) keys.add(cidKey(snapshot))
  return keys
}

const DAY_MS = 86_400_000

function isFresh(
  { announcement, ageMs, isOutdated, isGone }: HeardSite,
  freshMs: number,
  nowMs: number,
): boolean {
  return (
    isOutdated !== true &&
    isGone !== true &&
    ageMs <= freshMs &&
    Math.abs(nowMs - announcement.timeMs) <= freshMs
  )
}
