/**
 * Collection: of all blocks, those stay that a chosen snapshot needs, or that somebody holds a lease on; the others go,
 * and their space is given back. Imports, fetches and readers go on meanwhile.
 *
 * The order: begin (from here on keys are touched), choose, mark, sweep, reclaim. Which snapshots stay is the caller's
 * decision (replica/retention.ts).
 */
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { BlockReader } from '../block-store.ts'
import { createKeyFilter } from '../index/key-filter.ts'
import type { Leases } from '../leases.ts'
import { createMarker } from './mark.ts'
import type { SnapshotShare } from './snapshot-shares.ts'
import { countShares } from './snapshot-shares.ts'

export interface CollectionRoots {
  /** Snapshots that count as complete and stay. */
  readonly whole: readonly Cid[]
  /** Snapshots that count as complete under a path filter, with the views that show them. */
  readonly views?: readonly { readonly snapshot: Cid; readonly view: Cid }[]
  /** Snapshots that are not complete here, and sets of encodings: what there is of them stays. */
  readonly partial: readonly Cid[]
  /** Snapshots that go, whose shares a dry run is to tell. */
  readonly dropped?: readonly Cid[]
}

export interface CollectionOptions {
  /**
   * Asked once the run has begun: what becomes complete afterwards needs not be in the answer. What is left out must
   * have stopped to count as complete, durably, when it resolves.
   */
  readonly choose: () => CollectionRoots | Promise<CollectionRoots>
  /** Count what would go, and change nothing. */
  readonly isDryRun?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: CollectionProgress) => void
}

export interface CollectionProgress {
  readonly phase: 'mark' | 'sweep' | 'reclaim'
  /** Snapshots, blocks or bytes. */
  readonly done: number
  readonly total: number
}

export interface CollectionReport {
  readonly liveBlocks: number
  readonly deadBlocks: number
  readonly deadBytes: number
  /** Packs without a block that stays. */
  readonly removedPacks: number
  /** Packs whose last blocks were moved into another. */
  readonly compactedPacks: number
  /** Given back to the disk; in a dry run, about what would be. */
  readonly freedBytes: number
  /** Why some garbage stays where it is. */
  readonly leftFor?: string
  /** In a dry run: of the snapshots that would go, in their order. */
  readonly shares?: readonly SnapshotShare[]
}

/** A store as a collection sees it. One run at a time. */
export interface CollectionTarget {
  readonly blocks: BlockReader
  readonly leases: Leases
  countBlocks(): number
  /** Touches what is stored and not in the index yet. */
  touchPending(): void
  sweep(
    isLive: (key: Uint8Array) => boolean,
    options: Pick<CollectionOptions, 'isDryRun' | 'signal' | 'onProgress'>,
  ): Promise<CollectionReport>
}

export type Collect = (options: CollectionOptions) => Promise<CollectionReport>

/**
 * The collection of one store.
 * @throws MirrorError `busy` while another one runs; `corrupt`, before anything is deleted, when a complete snapshot
 *   cannot be read in full; `aborted`: what was done so far is kept
 */
export function createCollect(target: CollectionTarget): Collect {
  const { blocks, leases } = target
  let isRunning = false

  async function run(options: CollectionOptions): Promise<CollectionReport> {
    const { choose, signal, onProgress = () => undefined } = options
    using _held = leases.hold()
    target.touchPending()
    const early = leased()
    const { whole, views = [], partial, dropped = [] } = await choose()
    const live = createKeyFilter({ capacity: target.countBlocks() + 1024 })
    const marker = createMarker({ blocks, keep: live.add }, { signal })
    const total = whole.length + views.length + partial.length
    for (const [i, snapshot] of whole.entries()) {
      onProgress({ phase: 'mark', done: i, total })
      await marker.whole(snapshot)
    }
    for (const [i, { snapshot, view }] of views.entries()) {
      onProgress({ phase: 'mark', done: whole.length + i, total })
      await marker.view(snapshot, view)
    }
    for (const [i, snapshot] of partial.entries()) {
      onProgress({ phase: 'mark', done: whole.length + views.length + i, total })
      await marker.partial(snapshot)
    }
    // Until an instant at which every root of every lease is marked. What is leased later is looked up later.
    const marked = new Set<string>()
    for (
      let due = [...early, ...leased()];
      due.length > 0;
      due = leased().filter(({ name }) => !marked.has(name))
    ) {
      for (const { name, root, isBelow } of due) {
        if (marked.has(name)) continue
        marked.add(name)
        await (isBelow ? marker.below(root) : marker.partial(root))
      }
    }
    // Awaited here: the hold ends with this function.
    const report = await target.sweep(live.mayHave, options)
    if (options.isDryRun !== true || dropped.length === 0) return report
    return { ...report, shares: await countShares(blocks, { snapshots: dropped, counted: live, signal }) }
  }

  function leased(): { readonly name: string; readonly root: Cid; readonly isBelow: boolean }[] {
    return leases
      .list()
      .flatMap(({ roots, below }) => [
        ...roots.map((root) => ({ name: cidKey(root), root, isBelow: false })),
        ...below.map((root) => ({ name: `below ${cidKey(root)}`, root, isBelow: true })),
      ])
  }

  return async (options) => {
    if (isRunning) {
      throw new MirrorError('busy', 'a collection is running already', { hint: 'Wait until it has ended.' })
    }
    isRunning = true
    try {
      return await run(options)
    } finally {
      isRunning = false
    }
  }
}
