/**
 * What the status says of copies: of each tree for which pins name a minimum, how many verified ones there are of its head; an alarm
 * when there are too few for long, and one when a site does not show what it says it holds.
 *
 * Too few are there when of the newest head that is older than the grace fewer sites than are wanted hold it, or a later one,
 * verified. So a tree that is published every minute is judged by what sites have had the time to fetch.
 */
import type { Clock } from '../../base/clock.ts'
import { matchesTree } from '../../base/names.ts'
import type { PathFilter } from '../../base/path-filter.ts'
import type { PinBody } from '../../record/kinds/pin.ts'
import { type MeshState, newestStanding, type TreeState } from '../../record/mesh-state.ts'
import type { Alarm, CopiesStatus, StatusDocument, TreeStatus } from '../status/status.ts'
import type { CopyChallenger } from './copy-challenger.ts'
import { type CopyView, type CountedCopy, countCopies } from './verified-copies.ts'

export interface CopyWatchOptions {
  /** Too few copies for so long raise an alarm; 0 for never. */
  readonly graceMs: number
}

export interface CopyWatch {
  /** The same document with copies, and alarms about them. */
  withCopies(status: StatusDocument): StatusDocument
  /** Of the pin's trees the one with the fewest copies of its head; undefined when it names no minimum, or nothing is published. */
  ofPin(pin: PinBody, status: StatusDocument): PinCopies | undefined
}

export interface PinCopies {
  readonly tree: string
  readonly wanted: number
  readonly verified: number
}

/** A site that is started anew, or is away for a moment, is not counted until it was heard and asked again. */
const MAX_SETTLE_MS = 10 * 60_000
/** One failed challenge may be of a pin that has just changed. */
const ALARMING_FAILURES = 2

export function createCopyWatch(
  {
    challenger,
    clock,
  }: { readonly challenger: Pick<CopyChallenger, 'failed' | 'view'>; readonly clock: Clock },
  { graceMs }: CopyWatchOptions,
): CopyWatch {
  /** Since when there are too few, by tree. */
  const lackingSinceMs = new Map<string, number>()

  function count(
    view: CopyView,
    { tree, sites }: TreeStatus,
    sequence: number,
    filter: PathFilter | undefined,
  ): CountedCopy[] {
    const known = view.state.trees.get(tree)
    if (known === undefined) return []
    const own = view.state.members.get(view.self)?.site
    const isHere = (sites.find(({ site }) => site === own)?.sequence ?? 0) >= sequence
    return countCopies(view, known, { sequence, filter, isHere })
  }

  function copiesOf(view: CopyView, status: TreeStatus): CopiesStatus | undefined {
    const wishes = wishesFor(view.state, status.tree)
    if (wishes.length === 0 || status.sequence === null) return undefined
    const { sequence } = status
    const judged = wishes.map(({ copies, filter }) => ({
      wanted: copies,
      counted: count(view, status, sequence, filter),
    }))
    const { wanted, counted } = judged.reduce((a, b) =>
      b.wanted - b.counted.length > a.wanted - a.counted.length ? b : a,
    )
    const siteOf = (peer: string): string => view.state.members.get(peer)?.site ?? peer
    return {
      ...{ wanted, verified: counted.length, sequence },
      sites: counted.map(({ site, sequence: seen, timeMs, by }) => ({
        ...{ site, sequence: seen, timeMs, by: siteOf(by) },
      })),
    }
  }

  /** Undefined while all is well, or not yet known to be otherwise. */
  function lackOf(view: CopyView, status: TreeStatus): Alarm | undefined {
    const { tree } = status
    const judged = judgedHead(view.state.trees.get(tree), view, graceMs)
    const worst =
      judged === undefined
        ? undefined
        : wishesFor(view.state, tree)
            .map(({ copies, filter }) => ({ copies, found: count(view, status, judged, filter).length }))
            .find(({ copies, found }) => found < copies)
    if (worst === undefined) {
      lackingSinceMs.delete(tree)
      return undefined
    }
    const nowMs = clock.monotonicMs()
    const sinceMs = lackingSinceMs.get(tree) ?? nowMs
    lackingSinceMs.set(tree, sinceMs)
    if (nowMs - sinceMs < Math.min(graceMs, MAX_SETTLE_MS)) return undefined
    return {
      kind: 'too-few-copies',
      subject: tree,
      detail: `of @${judged} or later ${worst.found} verified ${worst.found === 1 ? 'copy is' : 'copies are'} known, and a pin wants ${worst.copies}. Are enough sites pinned, up, complete, and of a version that can be asked? See mirrormesh pin show`,
    }
  }

  return {
    withCopies(status) {
      const view = challenger.view()
      const alarms: Alarm[] = []
      const trees = status.trees.map((each) => {
        const lack = graceMs === 0 ? undefined : lackOf(view, each)
        if (lack !== undefined) alarms.push(lack)
        const copies = copiesOf(view, each)
        return copies === undefined ? each : { ...each, copies }
      })
      const there = new Set(trees.map(({ tree }) => tree))
      for (const tree of lackingSinceMs.keys()) if (!there.has(tree)) lackingSinceMs.delete(tree)
      for (const { tree, peer, sequence, outcome, failures, detail } of challenger.failed()) {
        if (outcome !== 'not-shown' || failures < ALARMING_FAILURES) continue
        const site = view.state.members.get(peer)?.site ?? peer
        alarms.push({
          kind: 'copy-not-shown',
          subject: site,
          detail: `it says that it holds ${tree}@${sequence} and did not show it: ${detail}. Its copy is not counted on. At that site: mirrormesh verify ${tree}@${sequence}`,
        })
      }
      return { ...status, trees, alarms: alarms.length === 0 ? status.alarms : [...status.alarms, ...alarms] }
    },
    ofPin(pin, status) {
      const { copies } = pin
      if (copies === undefined) return undefined
      const view = challenger.view()
      const filter = pin.paths === undefined ? undefined : [pin.paths]
      const found = status.trees.flatMap((each) =>
        each.sequence === null || !matchesTree(pin.tree, each.tree)
          ? []
          : [{ tree: each.tree, wanted: copies, verified: count(view, each, each.sequence, filter).length }],
      )
      return found.length === 0 ? undefined : found.reduce((a, b) => (b.verified < a.verified ? b : a))
    },
  }
}

/** What the pins that name a minimum ask of the tree. */
function wishesFor(
  { pins }: Pick<MeshState, 'pins'>,
  tree: string,
): { readonly copies: number; readonly filter: PathFilter | undefined }[] {
  return [...pins.values()].flatMap(({ body: { copies, paths, tree: pattern, removed } }) =>
    copies === undefined || removed || !matchesTree(pattern, tree)
      ? []
      : [{ copies, filter: paths === undefined ? undefined : [paths] }],
  )
}

/** The newest head that sites have had the time to fetch. */
function judgedHead(
  tree: TreeState | undefined,
  { state, nowMs }: CopyView,
  graceMs: number,
): number | undefined {
  const newest = tree && newestStanding(state, tree)
  if (tree === undefined || newest === undefined) return undefined
  for (let at = tree.history.length - 1; at >= 0; at--) {
    const { sequence, timeMs } = tree.history[at]!
    if (sequence <= newest.sequence && timeMs <= nowMs - graceMs) return sequence
  }
  return undefined
}
