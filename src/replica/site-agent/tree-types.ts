/** What passes between a tree's worker and its fetches. */
import type { PathFilter } from '../../base/path-filter.ts'
import type { Cid } from '../../block/cid.ts'
import type { PageListener } from '../../tree/checkout/page-frontier.ts'
import type { DeltaCounts } from '../fetch/delta-feed.ts'
import type { Goal } from '../goals.ts'
import type { Explanation } from '../scheduler/types.ts'
import type { AheadView } from './tree-ahead.ts'

/** The part of a fetch session that is needed here. */
export interface RunningFetch {
  readonly done: Promise<unknown>
  progress(): {
    readonly phase: 'snapshot' | 'blocks' | 'check' | 'complete' | 'failed'
    readonly totalBytes: number | undefined
    readonly heldBlocks: number
    readonly totalBlocks: number | undefined
    readonly heldBytes: number
    readonly fetchedBytes: number
    readonly deltas?: DeltaCounts
  }
  explain(): Explanation | undefined
  explainDeltas?(): Explanation | undefined
}

/** A fetch that is going on. */
export interface FetchView extends ReturnType<RunningFetch['progress']> {
  readonly snapshot: Cid
  readonly seconds: number
  /** Undefined before the snapshot block arrived. */
  readonly explanation: Explanation | undefined
  /** Of the deltas; undefined while none are fetched. */
  readonly deltaExplanation: Explanation | undefined
  /** The check-out that is written meanwhile; undefined when none is. */
  readonly ahead?: AheadView | undefined
}

export interface FetchRequest extends Pick<Goal, 'isUrgent' | 'priority'> {
  readonly filter: PathFilter | undefined
  readonly tree: string
  readonly snapshot: Cid
  readonly pages?: PageListener | undefined
  readonly signal: AbortSignal
}
