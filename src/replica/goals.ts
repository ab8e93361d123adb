/**
 * What this site has to do, worked out of the records: which trees it keeps, at which head, and where it checks them
 * out. Pure. A site keeps what is pinned to it, and what it publishes itself.
 */
import { type PathFilter, unionOf } from '../base/path-filter.ts'
import type { Cid } from '../block/cid.ts'
import type { PinKeep } from '../record/kinds/pin.ts'
import { pinCovers, USUAL_PRIORITY } from '../record/kinds/pin.ts'
import { isDrained, type MeshState, mayRead, newestStanding, placeOf } from '../record/mesh-state.ts'
import type { Place } from '../topology/path-class.ts'
import type { FetchPause } from './fetch-pauses.ts'
import { isPrivateTree } from './holdings/tree-views.ts'

export interface Goal {
  readonly tree: string
  /** The tree is private and this site may not read it: `isHeldBack` too. */
  readonly hasNoRight?: boolean
  /** The site is drained, or has no right to the tree: what is here of the tree stays, and nothing more is fetched. */
  readonly isHeldBack?: boolean
  /** What is here stays, is served and checked out, and nothing more is fetched until it is resumed. */
  readonly pause?: FetchPause
  /** Absent until something is published. */
  readonly sequence?: number
  readonly snapshot?: Cid
  /** Absolute paths, in order. */
  readonly checkouts: readonly string[]
  /** Those of them that are folders of versions, and how many stay there. */
  readonly versions: ReadonlyMap<string, number>
  /** Which complete snapshots stay, as its pins say; absent when none of them does. */
  readonly keep?: PinKeep
  /** Only this part of the tree; absent for all of it. */
  readonly filter?: PathFilter
  /** The highest that its pins say; the higher is fetched first. */
  readonly priority: number
  /** Some pin says that it must not wait for others. */
  readonly isUrgent: boolean
  /** Check-outs that are asked for and cannot be: two trees at one place. */
  readonly refusedCheckouts: readonly { readonly path: string; readonly reason: string }[]
}

/** Goals by tree's name. */
export function goalsOf(
  state: MeshState,
  self: Place & { readonly peer: string },
  nowMs: number,
): Map<string, Goal> {
  const checkouts = checkoutsOf(state, self)
  const isOut = isDrained(state, self.site)
  const goals = new Map<string, Goal>()
  for (const tree of state.trees.values()) {
    if (tree.body.removed) continue
    const isOwn = tree.newest?.publisher === self.peer
    if (!isOwn && !isPinned(state, tree.name, self)) continue
    const own = checkouts.get(tree.name)
    const newest = newestStanding(state, tree)
    const keep = keepOf(state, tree.name, self) ?? tree.body.keep
    const hasNoRight = !hasRight(state, tree.name, self.peer, nowMs)
    const filter = isOwn ? undefined : filterOf(state, tree.name, self)
    goals.set(tree.name, {
      tree: tree.name,
      ...((isOut && !isOwn) || hasNoRight ? { isHeldBack: true } : {}),
      ...(hasNoRight ? { hasNoRight } : {}),
      ...(newest === undefined ? {} : { sequence: newest.sequence, snapshot: newest.snapshot }),
      checkouts: own?.paths ?? [],
      versions: own?.versions ?? new Map(),
      refusedCheckouts: own?.refused ?? [],
      ...(filter === undefined ? {} : { filter }),
      ...urgencyOf(state, tree.name, self),
      ...(keep === undefined ? {} : { keep }),
    })
  }
  return goals
}

/** The same goals, with what an operator paused at this site. */
export function withPauses(
  goals: ReadonlyMap<string, Goal>,
  pauses: ReadonlyMap<string, FetchPause>,
): ReadonlyMap<string, Goal> {
  const out = new Map(goals)
  for (const [tree, pause] of pauses) {
    const goal = goals.get(tree)
    if (goal !== undefined) out.set(tree, { ...goal, pause })
  }
  return out
}

/** Of several pins each gets what it asks for. */
export function keepOf(state: MeshState, tree: string, place: Place): PinKeep | undefined {
  const here = placeOf(state, place)
  const said = [...state.pins.values()].flatMap(({ body }) =>
    body.keep !== undefined && pinCovers(body, tree, here) ? [body.keep] : [],
  )
  if (said.length === 0) return undefined
  const most = (values: readonly (number | undefined)[]): number =>
    Math.max(0, ...values.map((value) => value ?? 0))
  const [last, days] = [most(said.map((keep) => keep.last)), most(said.map((keep) => keep.days))]
  return { ...(last === 0 ? {} : { last }), ...(days === 0 ? {} : { days }) }
}

/** Which part of the tree the pins ask `place` to keep; undefined for all of it, or for none. */
export function filterOf(state: MeshState, tree: string, place: Place): PathFilter | undefined {
  const at = placeOf(state, place)
  const pins = [...state.pins.values()].filter(({ body }) => pinCovers(body, tree, at))
  return unionOf(pins.map(({ body: { paths } }) => (paths === undefined ? undefined : [paths])))
}

/** How soon `place` is to fetch the tree, by its pins. */
export function urgencyOf(
  state: MeshState,
  tree: string,
  place: Place,
): { readonly priority: number; readonly isUrgent: boolean } {
  const at = placeOf(state, place)
  const pins = [...state.pins.values()].filter(({ body }) => pinCovers(body, tree, at))
  if (pins.length === 0) return { priority: USUAL_PRIORITY, isUrgent: false }
  return {
    priority: Math.max(...pins.map(({ body }) => body.priority ?? USUAL_PRIORITY)),
    isUrgent: pins.some((pin) => pin.body.class === 'urgent'),
  }
}

/** Whether some pin asks `place` to keep the tree. */
export function isPinned(state: MeshState, tree: string, place: Place): boolean {
  const at = placeOf(state, place)
  for (const { body } of state.pins.values()) if (pinCovers(body, tree, at)) return true
  return false
}

/** Whether the site is to fetch the tree now: a drained one takes nothing more, and nobody what it may not read. */
export function isWanted(
  state: MeshState,
  tree: string,
  site: Place & { readonly peer: string },
  nowMs: number,
): boolean {
  return (
    !isDrained(state, site.site) && isPinned(state, tree, site) && hasRight(state, tree, site.peer, nowMs)
  )
}

/** Of a private tree: to its directory names and bytes. */
export function hasRight(state: MeshState, tree: string, peer: string, nowMs: number): boolean {
  return !isPrivateTree(state, tree) || mayRead(state, tree, peer, nowMs)
}

interface TreeCheckouts {
  readonly paths: string[]
  readonly versions: Map<string, number>
  readonly refused: { path: string; reason: string }[]
}

/**
 * Each path goes to one tree, and none lies within another: by the name of the pin, then of the tree, so that the same
 * records always give the same answer.
 */
function checkoutsOf(state: MeshState, self: Place): Map<string, TreeCheckouts> {
  const out = new Map<string, TreeCheckouts>()
  const here = placeOf(state, self)
  const taken = new Map<string, string>()
  const pins = [...state.pins.values()].toSorted((a, b) => compareText(a.body.name, b.body.name))
  const trees = [...state.trees.keys()].toSorted(compareText)
  for (const { body } of pins) {
    if (body.checkout === undefined) continue
    for (const tree of trees) {
      if (!pinCovers(body, tree, here)) continue
      const base = body.checkout.length > 1 ? body.checkout.replace(/\/+$/, '') : body.checkout
      const path = body.tree.includes('*') ? `${base}/${tree}` : base
      const owner = taken.get(path)
      if (owner === tree) continue
      const entry = out.get(tree) ?? { paths: [], versions: new Map<string, number>(), refused: [] }
      out.set(tree, entry)
      const other = owner ?? [...taken].find(([known]) => isWithin(path, known) || isWithin(known, path))?.[1]
      if (other === undefined) {
        taken.set(path, tree)
        entry.paths.push(path)
        if (body.versions !== undefined) entry.versions.set(path, body.versions)
      } else {
        entry.refused.push({ path, reason: `the place is taken by the check-out of ${other}` })
      }
    }
  }
  return out
}

function isWithin(path: string, folder: string): boolean {
  return path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
