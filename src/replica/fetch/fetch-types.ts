/** What a fetch is told, and what it tells. */
import type { MirrorError } from '../../base/errors.ts'
import type { PathFilter } from '../../base/path-filter.ts'
import type { Cid } from '../../block/cid.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import type { Place } from '../../topology/path-class.ts'
import type { PageListener } from '../../tree/checkout/page-frontier.ts'
import type { SnapshotView } from '../holdings/snapshot-views.ts'
import type { Explanation, SchedulerOptions, SwarmWeights } from '../scheduler/types.ts'
import type { DeltaCounts, DeltaOffers } from './delta-feed.ts'
import type { FetchDemand } from './fetch-demand.ts'

export interface FetchOptions {
  readonly tree: string
  readonly snapshot: Cid
  readonly self: Place
  /** Where the snapshot was published, if that is known. */
  readonly origin?: Place | undefined
  /** Shares of regions and sites; the same for all by default. */
  readonly weights?: SwarmWeights
  readonly signal?: AbortSignal
  /** Called when a peer sent wrong bytes. The fetch has dropped it; disconnecting and reporting is the caller's. */
  readonly onBlame?: (peer: string, error: MirrorError) => void
  /** Only this part of the tree: its shape, and the contents under the filter. All of it by default. */
  readonly filter?: PathFilter
  /** A snapshot of the tree that is complete here: its index is what pages of this one's are asked for over. */
  readonly base?: Cid | undefined
  /** Blocks are made of deltas where there are some; of none by default. */
  readonly deltas?: DeltaOffers | undefined
  readonly deltaTimes?: { readonly waitMs?: number; readonly lateMs?: number }
  /** Told of each page of the index, and of its blocks as they are stored. */
  readonly pages?: PageListener | undefined
  readonly scheduling?: Partial<Omit<SchedulerOptions, 'self' | 'snapshotBytes' | 'origin' | 'weights'>>
}

export interface FetchProgress {
  readonly phase: 'snapshot' | 'blocks' | 'check' | 'complete' | 'failed'
  /** Of the snapshot, or of what the filter takes of it; undefined until that is known. */
  readonly totalBlocks: number | undefined
  readonly totalBytes: number | undefined
  /** Stored here, of the pages seen so far. */
  readonly heldBlocks: number
  readonly heldBytes: number
  /** Of those, the ones that came over the network in this fetch. */
  readonly fetchedBlocks: number
  readonly fetchedBytes: number
  /** What came as deltas instead; absent where none were looked for. */
  readonly deltas?: DeltaCounts
}

export interface FetchResult extends FetchProgress {
  readonly snapshot: Snapshot
  /** When only what a filter takes is complete here. */
  readonly view?: SnapshotView
  readonly seconds: number
  /** Blocks that arrived although they were here. */
  readonly duplicateBlocks: number
}

export interface Fetch {
  /**
   * @throws MirrorError `aborted`; `corrupt` for a snapshot that is malformed or whose index leaves blocks out;
   *   `unstable` when a stored block was lost meanwhile (start again); `no-space` or `io` from the store
   */
  readonly done: Promise<FetchResult>
  progress(): FetchProgress
  /** Why each block is where it is; undefined before the snapshot block arrived. */
  explain(): Explanation | undefined
  /** The same of the deltas; undefined while none are fetched. */
  explainDeltas(): Explanation | undefined
  /** For readers that cannot wait until it is complete. */
  readonly demand: FetchDemand
  /** Ends it; `done` rejects with `aborted`. What is stored stays. */
  stop(): void
}
