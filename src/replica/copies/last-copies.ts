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
 * sent: where clocks disagree nothing goes. And it counts only once that copy is verified (copies/verified-copies.ts): once the site
 * has shown this one, or another, blocks of it. Where a pin names a minimum of copies there are as many keepers.
 *
 * A site whose program is too old to be asked is never verified, so nothing goes on its word. That holds up what pins elsewhere
 * want and no more: what no pin wants goes as ever, a site that is drained, unpinned or revoked is no keeper any more, and each
 * asks again once an hour and when the other's version changes. It could not be otherwise: a site that lies would call itself old.
 */
import { matchesTree } from '../../base/names.ts'
import { covers, type PathFilter } from '../../base/path-filter.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import type { PinKeep } from '../../record/kinds/pin.ts'
import { isMemberAt, type MeshState, type TreeState } from '../../record/mesh-state.ts'
import { silentAfterMs } from '../announce-period.ts'
import { filterOf, hasRight, isWanted, keepOf } from '../goals.ts'
import { affinity } from '../scheduler/rendezvous.ts'
import { type CopyView, claimOf, isFresh, saidOf, verificationsIn } from './verified-copies.ts'

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
 * @param says whether the site has said lately that it holds the snapshot, and has shown it
 * @param copies as many there are to be, however many want it; 0 when no pin names a minimum
 */
export function judgeCopy(
  self: string,
  snapshotKey: string,
  pinned: readonly PinnedSite[],
  says: (peer: string) => boolean,
  copies = 0,
): LastCopyVerdict {
  const wanting = pinned.filter(({ wants }) => wants).length
  if (wanting === 0 && copies === 0) return 'may-go'
  const keepers = Math.max(Math.min(KEEPERS, wanting), copies)
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

export interface LastCopyInput extends CopyView {
  readonly isGone?: (tree: string, snapshot: Cid) => boolean
  /** It would go if these sites showed what they say they hold. */
  readonly onUnshown?: (held: HeldSnapshot, peers: readonly string[]) => void
}

/** Why a snapshot must stay, in words; undefined when it may go. Asked once for each snapshot that would be dropped. */
export function lastCopies(input: LastCopyInput) {
  const { state, self, heard, isGone, nowMs, onUnshown } = input
  const freshMs = silentAfterMs(state.members.size)
  const trees = new Map<string, KeepingSite[]>()
  const verifications = new Map<string, ReturnType<typeof verificationsIn>>()
  const sitesOf = (tree: TreeState): KeepingSite[] => {
    const known = trees.get(tree.name)
    if (known !== undefined) return known
    const sites = keepingSites(state, tree, nowMs)
    trees.set(tree.name, sites)
    return sites
  }

  const verificationsOf = (tree: string) => {
    const known = verifications.get(tree) ?? verificationsIn(input, tree)
    verifications.set(tree, known)
    return known
  }

  return (held: HeldSnapshot): string | undefined => {
    const { tree: name, snapshot, filter, isNewest } = held
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
    const after = sequences.size === 0 ? Number.POSITIVE_INFINITY : Math.max(...sequences)
    const says = (peer: string): 'it' | 'a later one' | undefined => {
      const last = heard.get(peer)
      if (last === undefined || !isFresh(last, freshMs, nowMs)) return undefined
      const said = saidOf(last.announcement, name)
      if (said === undefined) return undefined
      const claim = claimOf(said, sequences, snapshot.toString())
      if (claim === 'whole' || (claim === 'part' && filter !== undefined)) return 'it'
      const isWhole = said.isFiltered !== true || filter !== undefined
      // The newest here is not the newest of the mesh where a keeper has one after it.
      return isNewest && isWhole && (said.completeSequence ?? 0) > after ? 'a later one' : undefined
    }
    const shows = (peer: string): boolean => {
      const said = says(peer)
      if (said === undefined) return false
      return verificationsOf(name)(peer).some(({ sequence }) =>
        said === 'it' ? sequences.has(sequence) : sequence > after,
      )
    }
    const copies = copiesWanted(state, tree, { key, isTagged, isNewest }, filter, nowMs)
    const verdict = judgeCopy(self, snapshot.toString(), pinned, shows, copies)
    if (verdict === 'may-go') return undefined
    if (verdict === 'keeper')
      return copies > KEEPERS
        ? `keeper: a pin wants ${copies} copies, and this site is among the first to hold one`
        : 'keeper: a pin elsewhere wants it, and this site is among the first to hold it'
    const isSaid = (peer: string): boolean => says(peer) !== undefined
    if (judgeCopy(self, snapshot.toString(), pinned, isSaid, copies) !== 'may-go')
      return 'a pin elsewhere wants it, and others have not said that they hold it'
    onUnshown?.(
      held,
      pinned.flatMap(({ peer }) => (peer !== self && says(peer) === 'it' && !shows(peer) ? [peer] : [])),
    )
    return 'a pin elsewhere wants it, and others that say they hold it have not shown it yet'
  }
}

/** How many copies pins want of the snapshot, by the minimum that they name; 0 when none of them does. */
export function copiesWanted(
  state: MeshState,
  tree: TreeState,
  { key, isTagged, isNewest }: { key: string; isTagged: boolean; isNewest: boolean },
  filter: PathFilter | undefined,
  nowMs: number,
): number {
  let most = 0
  for (const { body } of state.pins.values()) {
    if (body.copies === undefined || body.copies <= most || !matchesTree(body.tree, tree.name)) continue
    // What is here of it is none of what that pin wants copies of.
    if (!covers(filter, body.paths === undefined ? undefined : [body.paths])) continue
    const keep = body.keep ?? tree.body.keep ?? { last: 1 }
    if (isNewest || isTagged || keptKeys(tree, keep, nowMs).has(key)) most = body.copies
  }
  return most
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

export function keptKeys(
  { history }: TreeState,
  { last = 1, days = 0 }: PinKeep,
  nowMs: number,
): Set<string> {
  const keys = new Set<string>()
  for (const { snapshot } of history.toReversed()) {
    if (keys.size >= last) break
    keys.add(cidKey(snapshot))
  }
  for (const { snapshot, timeMs } of history) if (nowMs - timeMs < days * DAY_MS) keys.add(cidKey(snapshot))
  return keys
}

const DAY_MS = 86_400_000
