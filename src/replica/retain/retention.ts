/**
 * Which snapshots stay at this site, and why each does. Pure: the collector carries it out (collector.ts).
 *
 * Local, and on the careful side: what this site is asked to keep or publishes stays in its newest versions, what is
 * named by a tag, lies in a check-out or is in use stays as well, and a tree that is no longer asked for goes only after
 * a while, in case somebody changes their mind.
 */
import { covers } from '../../base/path-filter.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { MeshState, TreeState } from '../../record/mesh-state.ts'
import type { HeldSnapshot } from '../copies/last-copies.ts'
import type { Goal } from '../goals.ts'
import type { CompleteSnapshot } from '../holdings/complete-snapshots.ts'

export interface RetentionInput {
  readonly state: Pick<MeshState, 'trees'>
  /** What this site keeps: see goalsOf. */
  readonly goals: ReadonlyMap<string, Goal>
  readonly complete: readonly CompleteSnapshot[]
  readonly leases: readonly { readonly purpose: string; readonly roots: readonly Cid[] }[]
  /** By their markers. */
  readonly checkouts: readonly { readonly tree: string; readonly snapshot: string; readonly path: string }[]
  /** A takedown means it: nothing of it stays. */
  readonly isGone?: (tree: string, snapshot: Cid) => boolean
  /** Why what would be dropped stays for the sake of others (last-copies.ts); undefined when it may go. */
  readonly lastCopy?: (held: HeldSnapshot) => string | undefined
  /** When a tree was first seen that is held and not asked for. */
  readonly unneededSinceMs: ReadonlyMap<string, number>
  readonly nowMs: number
}

export interface RetentionOptions {
  /** The newest complete snapshots of a tree that stay, unless its pins say otherwise. */
  readonly keepSnapshots: number
  /** How long the snapshots of a tree stay that is no longer asked for. */
  readonly graceMs: number
}

export interface RetainedSnapshot {
  readonly tree: string
  readonly snapshot: Cid
  /** Absent when it is in no history of heads. */
  readonly sequence?: number
  /** It counts as complete here. */
  readonly isComplete: boolean
  /** Shows it where it is complete under a path filter. */
  readonly view?: Cid
  /** In words; never empty. */
  readonly reasons: readonly string[]
}

export interface DroppedSnapshot extends Omit<RetainedSnapshot, 'isComplete' | 'reasons' | 'view'> {
  readonly reason: string
}

export interface RetentionPlan {
  readonly kept: readonly RetainedSnapshot[]
  readonly dropped: readonly DroppedSnapshot[]
  /**
   * Snapshots that are not complete here and would stay if they were: what there is of them stays. After the index of a
   * store was rebuilt that is all of them.
   */
  readonly partial: readonly Cid[]
}

export function planRetention(
  input: RetentionInput,
  { keepSnapshots, graceMs }: RetentionOptions,
): RetentionPlan {
  const { state, goals, leases, checkouts, unneededSinceMs, nowMs, isGone = () => false } = input
  const kept: RetainedSnapshot[] = []
  const dropped: DroppedSnapshot[] = []
  const users = new Map<string, string[]>()
  for (const { purpose, roots } of leases) {
    for (const root of roots) users.set(cidKey(root), [...(users.get(cidKey(root)) ?? []), purpose])
  }

  for (const [tree, held] of Map.groupBy(input.complete, (each) => each.tree)) {
    const known = state.trees.get(tree)
    const isAskedFor = goals.has(tree)
    const keep = goals.get(tree)?.keep
    const keepLast = keep === undefined ? Math.max(1, keepSnapshots) : (keep.last ?? 1)
    const newest = newestOf(
      known,
      held.map(({ snapshot }) => snapshot),
      keepLast,
    )
    for (const { snapshot, view } of held) {
      const key = cidKey(snapshot)
      const text = snapshot.toString()
      const head = known?.history.findLast((each) => cidKey(each.snapshot) === key)
      const sequence = head?.sequence
      const reasons: string[] = []
      if (isAskedFor) {
        if (known?.newest !== undefined && cidKey(known.newest.snapshot) === key)
          reasons.push('the newest head')
        const at = newest.indexOf(key)
        if (at === 0) reasons.push('the newest that is complete here')
        else if (at > 0) reasons.push(`one of the newest ${keepLast} that are complete here`)
        if (keep?.days !== undefined && head !== undefined && isWithin(head, keep.days, nowMs))
          reasons.push(`published within ${keep.days} days`)
        for (const [tag, { body }] of known?.tags ?? []) {
          if (cidKey(body.snapshot) === key) reasons.push(`tagged ${tag}`)
        }
        if (known?.fork !== undefined) reasons.push('the tree is in dispute')
      } else {
        const sinceMs = unneededSinceMs.get(tree) ?? nowMs
        if (nowMs < sinceMs + graceMs) {
          reasons.push(
            `no longer asked for here, goes after ${new Date(sinceMs + graceMs).toISOString().slice(0, 16)}Z`,
          )
        }
      }
      for (const checkout of checkouts) {
        if (checkout.snapshot === text) reasons.push(`checked out at ${checkout.path}`)
      }
      for (const purpose of users.get(key) ?? []) reasons.push(`in use: ${purpose}`)
      if (reasons.length === 0) {
        const wanted = input.lastCopy?.({ tree, snapshot, filter: view?.filter, isNewest: newest[0] === key })
        if (wanted !== undefined) reasons.push(wanted)
      }
      const facts = { tree, snapshot, ...(sequence === undefined ? {} : { sequence }) }
      if (reasons.length > 0)
        kept.push({ ...facts, ...(view === undefined ? {} : { view: view.cid }), isComplete: true, reasons })
      else
        dropped.push({
          ...facts,
          reason: isAskedFor ? supersededBy(keepLast, keep?.days) : 'no longer asked for here',
        })
    }
  }

  const partial: Cid[] = []
  for (const [tree, { keep }] of goals) {
    const known = state.trees.get(tree)
    if (known === undefined) continue
    const isHeld = new Set(
      input.complete.flatMap((each) => (each.tree === tree ? [cidKey(each.snapshot)] : [])),
    )
    const wanted = [
      ...known.history
        .slice(-(keep === undefined ? keepSnapshots : (keep.last ?? 1)))
        .map(({ snapshot }) => snapshot),
      ...known.history
        .filter((head) => keep?.days !== undefined && isWithin(head, keep.days, nowMs))
        .map(({ snapshot }) => snapshot),
      ...[...known.tags.values()].map(({ body }) => body.snapshot),
    ]
    partial.push(...wanted.filter((each) => !isHeld.has(cidKey(each)) && !isGone(tree, each)))
  }

  const whole = new Set(kept.map(({ tree, snapshot }) => `${tree}/${cidKey(snapshot)}`))
  for (const { tree, snapshot, sequence, filter, isHeldBack } of goals.values()) {
    if (snapshot === undefined) continue
    if (whole.has(`${tree}/${cidKey(snapshot)}`)) {
      const held = input.complete.find((each) => each.tree === tree && each.snapshot.equals(snapshot))
      // More of it is wanted by now: what came of that stays, too.
      if (!covers(held?.view?.filter, filter)) partial.push(snapshot)
      continue
    }
    const facts = { tree, snapshot, ...(sequence === undefined ? {} : { sequence }) }
    kept.push({
      ...facts,
      isComplete: false,
      reasons: [isHeldBack === true ? 'the site is drained: goes on later' : 'is being fetched'],
    })
  }
  return { kept: kept.toSorted(compare), dropped: dropped.toSorted(compare), partial }
}

/** Keys of the newest of the held snapshots, newest first. What is in no history comes last, as the oldest would. */
function newestOf(tree: TreeState | undefined, held: readonly Cid[], count: number): string[] {
  const keys = new Set(held.map(cidKey))
  const newest: string[] = []
  const history = tree?.history ?? []
  for (let at = history.length - 1; at >= 0 && newest.length < count; at--) {
    const key = cidKey(history[at]!.snapshot)
    if (keys.has(key) && !newest.includes(key)) newest.push(key)
  }
  // A site that has nothing newer keeps what it has.
  if (newest.length === 0) newest.push(...[...keys].slice(0, 1))
  return newest
}

const DAY_MS = 86_400_000

/** By the publisher's clock; one that is ahead keeps it longer, never shorter. */
function isWithin(head: { readonly timeMs: number }, days: number, nowMs: number): boolean {
  return nowMs - head.timeMs < days * DAY_MS
}

function supersededBy(keepLast: number, days: number | undefined): string {
  const newer = keepLast === 1 ? 'a newer one is complete here' : `${keepLast} newer ones are complete here`
  return days === undefined ? newer : `${newer}, and it is older than ${days} days`
}

function compare(a: DroppedSnapshot | RetainedSnapshot, b: DroppedSnapshot | RetainedSnapshot): number {
  if (a.tree !== b.tree) return a.tree < b.tree ? -1 : 1
  return (b.sequence ?? 0) - (a.sequence ?? 0)
}
