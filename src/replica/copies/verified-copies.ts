/**
 * Which copies are verified: of snapshots that a site says it holds, and of which it has shown somebody blocks at positions drawn by
 * chance (copy-challenger.ts). By this site's own challenges, and by the word of others, who tell in their announcements whom they
 * have challenged. A site's word about itself counts for nothing here. Pure.
 *
 * An own challenge that failed outweighs what others say. What two sites agree to lie about is believed where this site cannot ask.
 */
import { hex, utf8 } from '../../base/bytes.ts'
import { covers, type PathFilter } from '../../base/path-filter.ts'
import type { Cid } from '../../block/cid.ts'
import { blake3 } from '../../block/hash.ts'
import type { MeshState, TreeState } from '../../record/mesh-state.ts'
import { silentAfterMs } from '../announce-period.ts'
import { filterOf } from '../goals.ts'
import type { AnnouncedTree } from '../status/announced-tree.ts'
import type { HeardSite } from '../status/status.ts'
import type { SiteAnnouncement } from '../status/status-announcement.ts'

/** So long a copy counts after it was shown. It is asked for again long before (copy-challenger.ts). */
export const VERIFIED_MS = 36 * 3_600_000
/** A clock that is further ahead than this tells no time. */
const MAX_AHEAD_MS = 5 * 60_000
const MARK_BYTES = 8

/** How a site is named in what others say of its copies: short, since it is said of every tree. */
export function markOf(peer: string): string {
  const known = marks.get(peer)
  if (known !== undefined) return known
  const mark = hex(blake3.digest(utf8(peer)).subarray(0, MARK_BYTES))
  if (marks.size >= MAX_MARKS) marks.delete(marks.keys().next().value!)
  marks.set(peer, mark)
  return mark
}

const MAX_MARKS = 4096
const marks = new Map<string, string>()

const byTree = new WeakMap<SiteAnnouncement, ReadonlyMap<string, AnnouncedTree>>()

/** What the site said of the tree, found without a search: each is asked for many times. */
export function saidOf(announcement: SiteAnnouncement, tree: string): AnnouncedTree | undefined {
  let known = byTree.get(announcement)
  if (known === undefined) {
    known = new Map(announcement.trees.map((each) => [each.tree, each]))
    byTree.set(announcement, known)
  }
  return known.get(tree)
}

/** By two clocks, when it came and when it was sent: where clocks disagree nothing counts. */
export function isFresh(
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

/** Whether it was said that the snapshot with one of these sequences is complete there, and which part of it. */
export function claimOf(
  said: AnnouncedTree,
  sequences: ReadonlySet<number>,
  snapshot: string,
): 'whole' | 'part' | undefined {
  if (said.completeSnapshot === snapshot) return said.isFiltered === true ? 'part' : 'whole'
  if (said.alsoComplete.some((sequence) => sequences.has(sequence))) return 'whole'
  for (const [from, to] of said.completeRuns ?? [])
    for (const sequence of sequences) if (from <= sequence && sequence <= to) return 'whole'
  return undefined
}

/** A rollback has a snapshot at several places. */
export function sequencesOf(tree: TreeState, snapshot: Cid): ReadonlySet<number> {
  return new Set(
    tree.history.filter((head) => head.snapshot.equals(snapshot)).map(({ sequence }) => sequence),
  )
}

/** What is said now of the snapshot with these sequences. */
export function claimed(
  { state, heard, nowMs }: CopyView,
  tree: string,
  snapshot: Cid,
  sequences: ReadonlySet<number>,
  peer: string,
): 'whole' | 'part' | undefined {
  const last = heard.get(peer)
  if (last === undefined || !isFresh(last, silentAfterMs(state.members.size), nowMs)) return undefined
  const said = saidOf(last.announcement, tree)
  return said && claimOf(said, sequences, snapshot.toString())
}

/** A challenge of this site's own. */
export interface OwnChallenge {
  readonly sequence: number
  readonly timeMs: number
  readonly isShown: boolean
}

export interface CopyView {
  readonly state: MeshState
  readonly self: string
  /** By PeerId. */
  readonly heard: ReadonlyMap<string, HeardSite>
  /** The last of each snapshot. */
  readonly own: (tree: string, peer: string) => readonly OwnChallenge[]
  readonly nowMs: number
}

export interface Verification {
  readonly sequence: number
  readonly timeMs: number
  /** The PeerId of who saw it. */
  readonly by: string
}

/**
 * The verifications of sites' copies of the tree that count now, by PeerId, the last of each verifier and snapshot. What the
 * announcements say is gone through once, however many are asked about.
 */
export function verificationsIn(
  { state, self, heard, own, nowMs }: CopyView,
  tree: string,
): (peer: string) => readonly Verification[] {
  const counts = (timeMs: number): boolean => timeMs <= nowMs + MAX_AHEAD_MS && nowMs - timeMs <= VERIFIED_MS
  const freshMs = silentAfterMs(state.members.size)
  const told = new Map<string, Verification[]>()
  for (const [by, last] of heard) {
    const said = isFresh(last, freshMs, nowMs) ? saidOf(last.announcement, tree)?.verified : undefined
    for (const { mark, sequence, timeMs } of said ?? []) {
      // Nobody vouches for itself.
      if (by === self || mark === markOf(by) || !counts(timeMs)) continue
      const list = told.get(mark)
      if (list === undefined) told.set(mark, [{ sequence, timeMs, by }])
      else list.push({ sequence, timeMs, by })
    }
  }
  return (peer) => {
    const ours = own(tree, peer).filter(({ timeMs }) => counts(timeMs))
    const failed = new Set(ours.flatMap(({ isShown, sequence }) => (isShown ? [] : [sequence])))
    return [
      ...ours.flatMap(({ sequence, timeMs, isShown }) => (isShown ? [{ sequence, timeMs, by: self }] : [])),
      ...(told.get(markOf(peer)) ?? []).filter(({ sequence }) => !failed.has(sequence)),
    ]
  }
}

export interface CountedCopy extends Verification {
  readonly peer: string
  readonly site: string
}

/**
 * The sites that hold a verified copy of the tree's snapshot `sequence`, or of a later one, in site order; of each the newest
 * verification. This site's own counts like the others': when one of them has seen it.
 */
export function countCopies(
  view: CopyView,
  tree: TreeState,
  {
    sequence,
    filter,
    isHere,
  }: {
    readonly sequence: number
    /** A copy is of at least this part. */
    readonly filter: PathFilter | undefined
    /** This site holds it. */
    readonly isHere: boolean
  },
): CountedCopy[] {
  const { state, self, heard, nowMs } = view
  const freshMs = silentAfterMs(state.members.size)
  const verifications = verificationsIn(view, tree.name)
  const counted: CountedCopy[] = []
  for (const member of state.members.values()) {
    if (!member.isActive) continue
    const last = heard.get(member.peer)
    const isSelf = member.peer === self
    if (isSelf && !isHere) continue
    if (!isSelf && (last === undefined || !isFresh(last, freshMs, nowMs))) continue
    const said = last === undefined ? undefined : saidOf(last.announcement, tree.name)
    const isPart = said?.isFiltered === true
    if (!isSelf && (said?.completeSequence ?? 0) < sequence) continue
    if (isPart) {
      // Without a filter by now: what it says is of before, and will be more.
      const theirs = filterOf(state, tree.name, member)
      if (theirs === undefined || !covers(theirs, filter)) continue
    }
    const newest = verifications(member.peer)
      .filter((each) => each.sequence >= sequence)
      .toSorted((a, b) => b.sequence - a.sequence || b.timeMs - a.timeMs)[0]
    if (newest !== undefined) counted.push({ ...newest, peer: member.peer, site: member.site })
  }
  return counted.toSorted((a, b) => (a.site < b.site ? -1 : a.site > b.site ? 1 : 0))
}
