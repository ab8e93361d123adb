/**
 * What hooks are told of, worked out of one status document after the other. Pure: time comes in. Bounded by the number of
 * trees of this site.
 */
import { describeHeldBack } from '../../src/replica/status/held-back-status.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'

export const HOOK_EVENTS = ['complete', 'failed', 'behind', 'held-back'] as const
export type HookEventName = (typeof HOOK_EVENTS)[number]

export interface HookEvent {
  readonly event: HookEventName
  readonly tree: string
  /** The head that it is about; of `held-back`, the head before what is held back, and the snapshot of that. */
  readonly sequence: number
  readonly snapshot: string
  /** This site. */
  readonly site: string
  /** Places of its check-outs: of `complete`, they hold this snapshot. */
  readonly checkouts: readonly string[]
  /** Of `failed`, `behind` and `held-back`: why, in words; empty when it is not known. */
  readonly reason: string
}

export interface HookEvents {
  /** Compares with what was seen before. What was told already is not told again. */
  look(status: StatusDocument, nowMs: number): HookEvent[]
}

interface Seen {
  /** The head that was told as complete. */
  told: number
  sequence: number
  sinceMs: number
  hasFailed: boolean
  isBehind: boolean
  /** The snapshot that was told as held back. */
  heldBack: string | undefined
}

/**
 * @param told the sequence of each tree that `complete` was told for before
 * @param behindMs how long a head may be known and not be complete here
 */
export function createHookEvents(told: ReadonlyMap<string, number>, behindMs: number): HookEvents {
  const trees = new Map<string, Seen>()
  return {
    look({ self, trees: found }, nowMs) {
      const events: HookEvent[] = []
      const present = new Set<string>()
      for (const { tree, sequence, snapshot, sites, heldBack } of found) {
        const own = sites.find(({ site }) => site === self.site)
        if (own === undefined || sequence === null || snapshot === null) continue
        present.add(tree)
        const seen = trees.get(tree) ?? {
          told: told.get(tree) ?? 0,
          sequence: 0,
          sinceMs: nowMs,
          hasFailed: false,
          isBehind: false,
          heldBack: undefined,
        }
        trees.set(tree, seen)
        if (seen.sequence !== sequence) {
          Object.assign(seen, { sequence, sinceMs: nowMs, hasFailed: false, isBehind: false })
        }
        const tell = (event: HookEventName, reason = ''): void => {
          const checkouts = own.checkouts.map(({ path }) => path)
          events.push({ event, tree, sequence, snapshot, site: self.site, checkouts, reason })
        }
        if (heldBack?.site === self.site && seen.heldBack !== heldBack.snapshot) {
          seen.heldBack = heldBack.snapshot
          events.push({
            ...{ event: 'held-back', tree, sequence: heldBack.sequence, snapshot: heldBack.snapshot },
            ...{ site: self.site, checkouts: [], reason: describeHeldBack(heldBack) },
          })
        }
        const isDone = own.state === 'complete' && own.checkouts.every((each) => each.sequence === sequence)
        if (isDone) {
          // A rollback has a higher sequence as well: lower ones come only with another history.
          if (seen.told !== sequence) tell('complete')
          Object.assign(seen, { told: sequence, hasFailed: false, isBehind: false })
          continue
        }
        if (own.hasFailed === true && !seen.hasFailed) tell('failed', own.reason)
        // Once a head: what fails and is tried again has not recovered in between.
        if (own.hasFailed === true) seen.hasFailed = true
        // Held back on purpose: the time counts from when it goes on.
        if (own.pause !== undefined) seen.sinceMs = nowMs
        if (!seen.isBehind && nowMs - seen.sinceMs >= behindMs) {
          seen.isBehind = true
          tell('behind', own.reason)
        }
      }
      for (const tree of trees.keys()) if (!present.has(tree)) trees.delete(tree)
      return events
    },
  }
}
