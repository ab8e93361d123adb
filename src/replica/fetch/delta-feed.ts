/**
 * Between the fetch of a snapshot's own blocks and that of its deltas: keeps the first from asking for what the second
 * brings, makes blocks of each delta that arrives, and gives back to the first whatever does not come of it.
 *
 * - A block that a delta is listed for is withheld until it is made, its delta turns out useless, or no delta arrives for
 *   `lateMs`.
 * - One that a delta may yet be listed for (the publisher goes through the snapshot in order) is withheld as long as there
 *   is news: a larger set, or a delta, every `waitMs`.
 * - When a neighbour holds the whole snapshot, only what comes of deltas that have arrived is withheld; when the set turns out
 *   wrong, nothing.
 *
 * delta-maker.ts makes the blocks.
 */
import { asMirrorError, isMirrorError, type MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import type { IndexedBlock } from '../../dag/block-index.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { Place } from '../../topology/path-class.ts'
import type { Explanation, SchedulerEvent, SwarmWeights } from '../scheduler/types.ts'
import { type DeltaMaker, openDeltaMaker } from './delta-maker.ts'
import { createDeltaPlan, type DeltaPlan, type PlannedDelta } from './delta-plan.ts'
import { type DeltaComponents, type DeltaSession, startDeltaSession } from './delta-session.ts'
import { createNewsClock } from './news-clock.ts'

/** What the publisher says of the deltas of a snapshot against one base. */
export interface OfferedSet {
  readonly base: Cid
  /** Null as long as there are no deltas. */
  readonly set: Cid | null
  readonly isComplete: boolean
}

/** Against a base that is not here. */
export interface SetElsewhere extends OfferedSet {
  /** Peers that say that the base is complete there. */
  readonly holders: ReadonlySet<string>
}

export interface DeltaOffers {
  /** Of those against bases that are complete here the best for this node now; undefined while there is none. */
  current(): OfferedSet | undefined
  /** Where `current` has none: what others may make blocks of, the best first. */
  elsewhere?(): readonly SetElsewhere[]
  /** Called when either may answer differently. Returns the function that ends it. */
  onChange(listener: () => void): () => void
}

export interface DeltaFeedOptions {
  readonly tree: string
  readonly snapshot: Cid
  readonly self: Place
  readonly origin?: Place | undefined
  readonly weights?: SwarmWeights
  readonly offers: DeltaOffers
  readonly waitMs?: number
  readonly lateMs?: number
  readonly onBlame?: (peer: string, error: MirrorError) => void
}

/** The fetch of the snapshot's own blocks, as seen from here. */
export interface PlainFetch {
  readonly snapshot: Snapshot
  readonly objects: NodeSource
  readonly signal: AbortSignal
  readonly dispatch: (events: readonly SchedulerEvent[]) => void
  /** What is fetched of it, and made: all by default. */
  readonly isWanted?: (cid: Cid) => boolean
  /** The store failed. */
  readonly fail: (error: unknown) => void
}

export interface DeltaCounts {
  readonly deltasFetched: number
  readonly deltaBytesFetched: number
  /** Blocks of the snapshot that were made of deltas, and their plain bytes. */
  readonly blocksMade: number
  readonly bytesMade: number
}

export interface DeltaFeed {
  start(fetch: PlainFetch): void
  /**
   * A page is about to be given to the scheduler. `has`: what is here, or not to be fetched; marks what was made since it was
   * read.
   * @returns the offsets to withhold
   */
  takePage(
    page: number,
    firstPosition: number,
    blocks: readonly IndexedBlock[],
    has: boolean[],
  ): { readonly withheld: number[]; readonly withheldFromFar?: number[] }
  /** A block came as it is. False when it was made here meanwhile. */
  takePlain(page: number, offset: number): boolean
  dropPage(page: number): void
  /** A neighbour holds the whole snapshot: what does not come of deltas that are here is taken from there. */
  nearIsComplete(): void
  counts(): DeltaCounts
  /** Of the deltas; undefined while none are fetched. */
  explain(): Explanation | undefined
  close(): void
}

interface TakenPage {
  readonly first: number
  readonly blocks: readonly IndexedBlock[]
  /** Offsets that were missing when it was taken and still are. */
  readonly missing: Set<number>
  readonly withheld: Set<number>
}

export const WAIT_MS = 3000
export const LATE_MS = 10_000
const MAX_APPLYING = 4

export function createDeltaFeed(components: DeltaComponents, options: DeltaFeedOptions): DeltaFeed {
  const { traffic, log } = components
  const { tree, snapshot: snapshotCid, offers, waitMs = WAIT_MS, lateMs = LATE_MS } = options
  const counts = { deltasFetched: 0, deltaBytesFetched: 0, blocksMade: 0, bytesMade: 0 }
  const pages = new Map<number, TakenPage>()
  /** Positions that were made before their page was taken: of deltas whose targets lie in two pages. */
  const madeAhead = new Set<number>()
  /** Deltas that have arrived, by their lowest position. */
  const arrived: PlannedDelta[] = []
  let fetch: PlainFetch | undefined
  let session: DeltaSession | undefined
  let maker: DeltaMaker | undefined
  let plan: DeltaPlan | undefined
  let seen: OfferedSet | undefined
  let isStarting = false
  let decided = 0
  let takenUntil = 0
  let applying = 0
  let isFinal = false
  let isOver = false
  let isNearComplete = false
  let unsubscribe: (() => void) | undefined
  const quiet = createNewsClock(components, {
    waitMs,
    lateMs,
    onChange(quietMs) {
      if (quietMs > 0)
        log?.info({ tree, quietMs: Math.round(quietMs), isLate: quiet.isLate() }, 'fetch.deltas-late')
      refresh()
    },
  })

  // ---- what is withheld ----

  function isWithheld(position: number, delta: PlannedDelta | undefined): boolean {
    if (delta?.state === 'arrived') return true
    if (isNearComplete) return false
    if (delta?.state === 'listed') return !quiet.isLate()
    return !isFinal && quiet.isWaiting() && seen !== undefined && position >= decided
  }

  function wantedOf({ first, blocks: listed }: Pick<TakenPage, 'first' | 'blocks'>): boolean[] {
    if (isOver || seen === undefined) return listed.map(() => false)
    const covering = plan?.covering(first, listed.length)
    return listed.map((_, offset) => isWithheld(first + offset, covering?.[offset]))
  }

  /** Brings what is withheld of the pages in step with what should be. */
  function refresh(): void {
    const events: SchedulerEvent[] = []
    for (const [page, taken] of pages) {
      const wanted = wantedOf(taken)
      const more = [...wanted.keys()].filter((offset) => wanted[offset] && !taken.withheld.has(offset))
      const less = [...taken.withheld].filter((offset) => !wanted[offset])
      for (const offset of more) taken.withheld.add(offset)
      for (const offset of less) taken.withheld.delete(offset)
      if (more.length > 0) events.push({ kind: 'withhold', page, offsets: more })
      if (less.length > 0) events.push({ kind: 'release', page, offsets: less })
    }
    if (events.length > 0) fetch?.dispatch(events)
  }

  // ---- the set ----

  function follow(): void {
    const offer = offers.current()
    if (fetch === undefined || isOver || isNearComplete || offer === undefined) return
    // The one that was begun with: another base would begin anew.
    if (seen !== undefined && !seen.base.equals(offer.base)) return
    const isFirst = seen === undefined
    const isGrown = offer.set !== null && seen?.set?.equals(offer.set) !== true
    seen = offer
    if (isFirst) quiet.news()
    if (isGrown) void grow(offer).catch(giveUp)
    if (offer.isComplete && offer.set === null) {
      isFinal = true
      refresh()
    } else if (isFirst) refresh()
  }

  async function grow(offer: OfferedSet): Promise<void> {
    if (isStarting) return
    if (session === undefined) {
      isStarting = true
      try {
        await startSession(fetch!, offer.base)
      } finally {
        isStarting = false
      }
    }
    if (isOver || isNearComplete || seen?.set == null) return
    quiet.news()
    session?.grow(seen.set)
    if (seen.isComplete) session?.end()
  }

  async function startSession({ snapshot, objects, signal, isWanted }: PlainFetch, base: Cid): Promise<void> {
    const part = isWanted === undefined ? {} : { isPart: isWanted }
    maker = await openDeltaMaker(components, { tree, base, target: snapshot, objects, signal, ...part })
    if (isOver || isNearComplete) {
      maker.close()
      return
    }
    plan = createDeltaPlan({ targetBlocks: snapshot.counts.blocks, baseBlocks: maker.baseBlocks })
    const { self, origin, weights, onBlame } = options
    session = startDeltaSession(components, {
      tree,
      snapshot: snapshotCid,
      base,
      snapshotBytes: snapshot.counts.blockBytes,
      self,
      origin,
      ...(weights === undefined ? {} : { weights }),
      plan,
      signal,
      isWanted: maker.isWanted,
      onListed(set, until) {
        decided = Math.max(decided, until)
        isFinal = seen?.isComplete === true && seen.set?.equals(set) === true
        quiet.news()
        refresh()
        pump()
      },
      onArrived(deltas, isFetched) {
        for (const delta of deltas) {
          enqueue(delta)
          if (!isFetched) continue
          counts.deltasFetched++
          counts.deltaBytesFetched += delta.lengthBytes
          traffic.tookDelta(delta.lengthBytes)
        }
        quiet.news()
        pump()
      },
      onFailed: giveUp,
      ...(onBlame === undefined ? {} : { onBlame }),
    })
  }

  /** Nothing more is to be had of the set; what is stored stays right, since each block was checked by itself. */
  function giveUp(error: unknown): void {
    if (isOver || fetch?.signal.aborted === true) return
    const cause = asMirrorError(error, `use the deltas of ${tree}`)
    log?.warn({ tree, snapshot: snapshotCid.toString(), err: cause }, 'fetch.deltas-unusable')
    finish()
  }

  // ---- making blocks ----

  function enqueue(delta: PlannedDelta): void {
    // They come nearly in order.
    const before = arrived.findLastIndex(({ first }) => first <= delta.first)
    arrived.splice(before + 1, 0, delta)
  }

  function pump(): void {
    while (!isOver && applying < MAX_APPLYING) {
      // In the order of the snapshot, and not before its pages: what waits lies in the store, not in memory.
      const delta = arrived[0]
      if (delta === undefined || delta.first >= takenUntil) return
      arrived.shift()
      applying++
      void apply(delta)
        .catch((error: unknown) => {
          if (isOver || fetch?.signal.aborted === true) return
          if (isMirrorError(error, 'corrupt')) giveUp(error)
          else fetch?.fail(error)
        })
        .finally(() => {
          applying--
          pump()
        })
    }
  }

  async function apply(delta: PlannedDelta): Promise<void> {
    const made = await maker?.make(delta)
    if (isOver) return
    if (made === undefined) {
      delta.state = 'failed'
      log?.warn({ tree, delta: delta.cid.toString() }, 'fetch.delta-without-base')
      refresh()
      return
    }
    delta.state = 'done'
    for (const { lengthBytes } of made) {
      counts.blocksMade++
      counts.bytesMade += lengthBytes
      traffic.madeOfDeltas(lengthBytes)
    }
    tellMade(delta)
    quiet.news()
  }

  function tellMade({ entry }: PlannedDelta): void {
    const events: SchedulerEvent[] = []
    for (const { first, count } of entry.targets) {
      for (let position = Math.max(first, takenUntil); position < first + count; position++)
        madeAhead.add(position)
      for (const [page, taken] of pages) {
        const from = Math.max(first, taken.first) - taken.first
        const end = Math.min(first + count, taken.first + taken.blocks.length) - taken.first
        if (from >= end) continue
        const offsets = Array.from({ length: end - from }, (_, i) => from + i).filter((offset) =>
          taken.missing.delete(offset),
        )
        for (const offset of offsets) taken.withheld.delete(offset)
        if (offsets.length > 0) events.push({ kind: 'made', page, offsets })
      }
    }
    if (events.length > 0) fetch?.dispatch(events)
  }

  function listenNoMore(): void {
    quiet.stop()
    unsubscribe?.()
    session?.close()
  }

  function finish(): void {
    if (isOver) return
    isOver = true
    listenNoMore()
    maker?.close()
    refresh()
    arrived.length = 0
  }

  return {
    start(plain) {
      fetch = plain
      if (isOver) return
      unsubscribe = offers.onChange(follow)
      follow()
    },
    takePage(page, first, listed, has) {
      for (const offset of listed.keys()) if (madeAhead.delete(first + offset)) has[offset] = true
      takenUntil = Math.max(takenUntil, first + listed.length)
      const wanted = wantedOf({ first, blocks: listed })
      const withheld = [...listed.keys()].filter((offset) => wanted[offset] && has[offset] !== true)
      const missing = new Set([...listed.keys()].filter((offset) => has[offset] !== true))
      pages.set(page, { first, blocks: listed, missing, withheld: new Set(withheld) })
      // After the page was given.
      queueMicrotask(pump)
      return { withheld }
    },
    takePlain: (page, offset) => pages.get(page)?.missing.delete(offset) ?? true,
    dropPage(page) {
      pages.delete(page)
    },
    nearIsComplete() {
      if (isOver || isNearComplete) return
      isNearComplete = true
      listenNoMore()
      refresh()
    },
    counts: () => counts,
    explain: () => session?.explain(),
    close: finish,
  }
}
