/**
 * Fetches one snapshot of one tree until it is complete here: the snapshot block and the index, then the missing
 * blocks as the scheduler says, each verified before it is stored, told to the neighbours as soon as it can be served;
 * then a flush, the walk of the closure, and only then "complete" (durable).
 *
 * A fetch has no state of its own on disk: what is stored is not asked for again, so one that was killed goes on where
 * it was when it is started again. It waits for peers as long as it takes; the caller's signal ends it.
 */
import { asMirrorError, isMirrorError, MirrorError } from '../../base/errors.ts'
import type { PathFilter } from '../../base/path-filter.ts'
import { type Cid, parseCid, RAW } from '../../block/cid.ts'
import type { IndexPage } from '../../dag/block-index.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import { makeView, viewBlocks } from '../../dag/snapshot-view.ts'
import { checkClosure, explainMissing } from '../holdings/closure-check.ts'
import type { Holdings } from '../holdings/holdings.ts'
import type { SnapshotView } from '../holdings/snapshot-views.ts'
import { startHeldUp } from '../scheduler/held-up.ts'
import type { Scheduler } from '../scheduler/scheduler.ts'
import { createScheduler } from '../scheduler/scheduler.ts'
import type { SchedulerCommand, SchedulerEvent } from '../scheduler/types.ts'
import { createWakeTimer } from '../scheduler/wake-timer.ts'
import type { DeltaFeed } from './delta-feed.ts'
import { createDeltaPart } from './delta-part.ts'
import type { FetchComponents } from './fetch-components.ts'
import { createFetchDemand } from './fetch-demand.ts'
import { type Follower, followMembers } from './fetch-members.ts'
import { createFetchObjects } from './fetch-objects.ts'
import { loadPages } from './fetch-pages.ts'
import { createFetchRequests, type FetchRequests } from './fetch-requests.ts'
import type { Fetch, FetchOptions, FetchProgress, FetchResult } from './fetch-types.ts'
import { createIndexOverBase } from './index-over-base.ts'

export type { FetchComponents } from './fetch-components.ts'
export type { Fetch, FetchOptions, FetchProgress, FetchResult } from './fetch-types.ts'

/** Members that come and go before the snapshot block arrives; their holdings wait. */
const MAX_EARLY_EVENTS = 16_384

/** What is to be fetched of a snapshot, all by default; and what makes some of it. */
interface Wanted {
  readonly isWanted?: (cid: Cid) => boolean
  readonly feed: DeltaFeed | undefined
}

/** Whoever waits for it gets the error; nobody has to. */
function newGoal(): PromiseWithResolvers<void> {
  const goal = Promise.withResolvers<void>()
  goal.promise.catch(() => undefined)
  return goal
}

export function startFetch(components: FetchComponents, options: FetchOptions): Fetch {
  const { network, blocks, holdings, traffic, clock, log, paths, scratch } = components
  const { tree, snapshot: snapshotCid, self, origin, weights, filter } = options
  const startMs = clock.monotonicMs()
  const abort = new AbortController()
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal])
  const pages = new Map<number, IndexPage>()
  const blamed = new Set<string>()
  const planned = Promise.withResolvers<void>()
  let complete = newGoal()
  const counts = { heldBlocks: 0, heldBytes: 0, fetchedBlocks: 0, fetchedBytes: 0 }
  let phase: FetchProgress['phase'] = 'snapshot'
  let snapshot: Snapshot | undefined
  /** Of what is wanted; undefined while it is not known. */
  let totals: { readonly blocks: number; readonly blockBytes: number } | undefined
  let scheduler: Scheduler | undefined
  const heldUp = startHeldUp(clock)
  const wake = createWakeTimer(clock, () => dispatch([{ kind: 'tick' }]))
  let wakePages: (() => void) | undefined
  const { deltas: offers, deltaTimes, onBlame } = options
  const feed =
    offers === undefined
      ? undefined
      : createDeltaPart(
          { ...components, heldUp },
          {
            ...{ tree, snapshot: snapshotCid, self, origin, offers, ...deltaTimes },
            ...(weights === undefined ? {} : { weights }),
            ...(onBlame === undefined ? {} : { onBlame }),
          },
        )
  /** What happened before the scheduler exists. */
  const early: SchedulerEvent[] = []

  const fail = (error: unknown): void => complete.reject(error)
  const onAbort = (): void => {
    fail(asMirrorError(signal.reason, `fetch ${tree}`))
    wakePages?.()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  function blame(peer: string, what: string): void {
    if (blamed.has(peer)) return
    blamed.add(peer)
    const error = new MirrorError('corrupt', `peer ${peer} sent wrong bytes for ${what} of ${tree}`, {
      facts: { peer, tree, snapshot: snapshotCid.toString() },
      hint: 'It is not asked again in this fetch. Check its disk, or revoke it.',
    })
    log?.warn({ peer, tree, what }, 'fetch.blamed')
    options.onBlame?.(peer, error)
  }

  const over = createIndexOverBase(components, options.base)
  const objects = createFetchObjects(components, {
    tree,
    over,
    self,
    origin,
    signal,
    isBlamed: (peer) => blamed.has(peer),
    told: (peer) => follower.told(peer),
    onWrongBytes: (peer, cid) => {
      blame(peer, `object ${cid.toString()}`)
      follower.refresh()
    },
  })
  let requests = openRequests()
  // The shape of the tree is asked for out of turn: whoever wants all of it comes to it late.
  let follower = follow(filter !== undefined)

  function openRequests(): FetchRequests {
    return createFetchRequests(
      { network, blocks, traffic, clock, heldUp },
      { tree, signal, page: (number) => pages.get(number), onEvents: dispatch, onError: fail },
    )
  }

  function follow(isAlone: boolean): Follower {
    return followMembers(components, {
      tree,
      snapshot: snapshotCid,
      self,
      origin,
      signal,
      isBlamed: (peer) => blamed.has(peer),
      ready: planned.promise,
      onEvents: dispatch,
      onGone: (peer) => requests.drop(peer),
      isAlone,
    })
  }

  const demand = createFetchDemand({
    blocks,
    clock,
    pageNumber: (cid) => [...pages].find(([, page]) => page.cid.equals(cid))?.[0],
    stateOf: (page, offset) => scheduler?.stateOf(page, offset),
    dispatch,
    onKept(page, offset) {
      feed?.takePlain(page, offset)
      dispatch([{ kind: 'made', page, offsets: [offset] }])
    },
  })

  function dispatch(events: readonly SchedulerEvent[]): void {
    if (signal.aborted) return
    if (scheduler === undefined) {
      if (early.length < MAX_EARLY_EVENTS) early.push(...events)
      return
    }
    noteArrivals(events)
    for (const command of scheduler.handle(events, clock.monotonicMs(), heldUp.totalMs())) carryOut(command)
    if (feed !== undefined && events.some(isCompleteNear)) queueMicrotask(feed.nearIsComplete)
    if (scheduler.wantsPages()) wakePages?.()
  }

  /** The origin is nobody's neighbour: what it gives, even to its own region, is to leave it once. */
  function isCompleteNear(event: SchedulerEvent): boolean {
    if (event.kind !== 'holding' || event.update.kind !== 'complete') return false
    const member = components.members.list(tree).find(({ peer }) => peer === event.peer)
    return member !== undefined && member.region === self.region && member.site !== origin?.site
  }

  /** Counts what arrived and tells the neighbours, before the scheduler closes the page. */
  function noteArrivals(events: readonly SchedulerEvent[]): void {
    const byPage = new Map<number, number[]>()
    for (const event of events) {
      if (event.kind === 'made') noteMade(event.page, event.offsets)
      if (event.kind !== 'received') continue
      const block = pages.get(event.page)?.blocks[event.offset]
      if (block === undefined) continue
      counts.fetchedBlocks++
      counts.fetchedBytes += block.lengthBytes
      if (feed?.takePlain(event.page, event.offset) ?? true) {
        counts.heldBlocks++
        counts.heldBytes += block.lengthBytes
      }
      const offsets = byPage.get(event.page) ?? []
      offsets.push(event.offset)
      byPage.set(event.page, offsets)
    }
    for (const [page, offsets] of byPage) {
      holding?.addBlocks(page, offsets)
      options.pages?.arrived(page, offsets)
      demand.arrived(page, offsets)
    }
  }

  function noteMade(page: number, offsets: readonly number[]): void {
    for (const offset of offsets) {
      counts.heldBlocks++
      counts.heldBytes += pages.get(page)?.blocks[offset]?.lengthBytes ?? 0
    }
    holding?.addBlocks(page, offsets)
    options.pages?.arrived(page, offsets)
    demand.arrived(page, offsets)
  }

  function carryOut(command: SchedulerCommand): void {
    if (command.kind === 'request') requests.send(command)
    else if (command.kind === 'cancel') requests.cancel(command.request)
    else if (command.kind === 'complete') complete.resolve()
    else if (command.kind === 'page-complete') {
      pages.delete(command.page)
      options.pages?.stored(command.page)
      feed?.dropPage(command.page)
      // Under a filter there is no more to wait for, which is not all.
      if (filter === undefined) holding?.fillPage(command.page)
    } else if (command.kind === 'blame') {
      blame(command.peer, `block ${command.offset} of page ${command.page}`)
      requests.drop(command.peer)
      follower.refresh()
    } else wake.set(command.atMs)
  }

  async function readPages(index: Cid, { isWanted, feed }: Wanted): Promise<void> {
    let firstPosition = 0
    if (scheduler === undefined || totals === undefined || filter === undefined)
      await over.begin(index, signal)
    for await (const { number, page, has: stored } of loadPages({ objects, blocks }, index, signal)) {
      while (!scheduler!.wantsPages() && !signal.aborted)
        await new Promise<void>((resolve) => (wakePages = resolve))
      wakePages = undefined
      signal.throwIfAborted()
      const lengths = page.blocks.map(({ lengthBytes }) => lengthBytes)
      const isLeftOut = page.blocks.map(({ cid }) => isWanted?.(cid) === false)
      const has = [...stored]
      const done = has.map((isHere, offset) => isHere || isLeftOut[offset] === true)
      const kept = feed?.takePage(number, firstPosition, page.blocks, done)
      firstPosition += lengths.length
      for (const [offset, isDone] of done.entries()) if (isDone && !isLeftOut[offset]) has[offset] = true
      for (const [offset, isHere] of has.entries()) {
        if (!isHere || isLeftOut[offset]) continue
        counts.heldBlocks++
        counts.heldBytes += lengths[offset]!
      }
      pages.set(number, page)
      options.pages?.read(number, stored)
      holding!.addPage(number, page.cid, has)
      dispatch([{ kind: 'page', page: number, key: page.cid.multihash.digest, lengths, has: done, ...kept }])
    }
    dispatch([{ kind: 'pages-end' }])
  }

  let holding: ReturnType<Holdings['begin']> | undefined
  const lease = blocks.lease({ purpose: `fetch ${tree}`, roots: [snapshotCid] })
  async function run(): Promise<FetchResult> {
    try {
      signal.throwIfAborted()
      const wasComplete = await holdings.isComplete(tree, snapshotCid)
      if (!wasComplete) {
        holding = holdings.begin(tree, snapshotCid)
        follower.refresh()
      }
      snapshot = await readSnapshot()
      let view: SnapshotView | undefined
      if (!wasComplete && filter !== undefined) view = await fetchView(snapshot, filter)
      else if (!wasComplete) await fetchBlocks(snapshot)
      else {
        totals = snapshot.counts
        counts.heldBlocks = snapshot.counts.blocks
        counts.heldBytes = snapshot.counts.blockBytes
      }
      phase = 'complete'
      const duplicateBlocks = scheduler?.explain(clock.monotonicMs()).duplicateBlocks ?? 0
      const seconds = (clock.monotonicMs() - startMs) / 1000
      const deltas = feed === undefined ? {} : { deltas: { ...feed.counts() } }
      log?.info({ tree, snapshot: snapshotCid.toString(), seconds, ...counts, ...deltas }, 'fetch.complete')
      return { ...progress(), snapshot, seconds, duplicateBlocks, ...(view === undefined ? {} : { view }) }
    } catch (error) {
      phase = 'failed'
      throw asMirrorError(error, `fetch ${tree}`, { facts: { tree, snapshot: snapshotCid.toString() } })
    } finally {
      signal.removeEventListener('abort', onAbort)
      wake.stop()
      heldUp.stop()
      scheduler?.close()
      planned.resolve()
      feed?.close()
      follower.close()
      requests.close()
      holding?.end()
      lease.close()
      abort.abort(new MirrorError('aborted', 'the fetch ended'))
      wakePages?.()
    }
  }

  async function readSnapshot(): Promise<Snapshot> {
    const found = decodeSnapshot(snapshotCid, (await objects.get(snapshotCid))!)
    if (found.tree === tree) return found
    throw new MirrorError('corrupt', `the snapshot is of tree ${found.tree}, not of ${tree}`, {
      hint: 'Its publisher signed a head that names a snapshot of another tree; it is not followed.',
    })
  }

  async function fetchBlocks(found: Snapshot): Promise<void> {
    totals = found.counts
    await fetchWanted(found, { feed })
    phase = 'check'
    await blocks.flush()
    await checkClosure(blocks, found, signal, scratch)
    await holding!.complete()
  }

  /** First the shape of the tree, of which follows what of the contents is wanted; then those. */
  async function fetchView(found: Snapshot, wanted: PathFilter): Promise<SnapshotView> {
    await fetchWanted(found, { isWanted: (cid) => cid.code !== RAW, feed: undefined })
    // The nodes that the view has of its own are in no index: nothing else keeps them until it is complete.
    using _writing = blocks.lease({ purpose: `fetch a part of ${tree}`, isWriter: true })
    const { cid, view } = await makeView(blocks, found, wanted, {
      put: (nodes) => blocks.put(nodes),
      signal,
      scratch,
    }).catch(async (error) => {
      if (!isMirrorError(error, 'not-found') || typeof error.facts.cid !== 'string') throw error
      throw await explainMissing(blocks, found, parseCid(error.facts.cid), signal)
    })
    totals = view.counts
    Object.assign(counts, { heldBlocks: 0, heldBytes: 0 })
    scheduler?.close()
    scheduler = undefined
    requests.close()
    follower.close()
    complete = newGoal()
    requests = openRequests()
    follower = follow(false)
    follower.refresh()
    const contents = await viewBlocks(blocks, view.root, { signal, scratch })
    try {
      await fetchWanted(found, { isWanted: contents.has, feed })
    } finally {
      contents.close()
    }
    phase = 'check'
    await blocks.flush()
    await checkClosure(blocks, found, signal, scratch, view)
    await holding!.completeView({ filter: wanted, cid })
    return { filter: wanted, cid }
  }

  async function fetchWanted(found: Snapshot, wanted: Wanted): Promise<void> {
    phase = 'blocks'
    scheduler = createScheduler({
      ...(paths === undefined ? {} : { paths }),
      ...options.scheduling,
      self,
      origin,
      ...(weights === undefined ? {} : { weights }),
      snapshotBytes: found.counts.blockBytes,
    })
    dispatch(early.splice(0))
    planned.resolve()
    wanted.feed?.start({
      ...{ snapshot: found, objects, signal, dispatch, fail },
      ...(wanted.isWanted === undefined ? {} : { isWanted: wanted.isWanted }),
    })
    await Promise.all([complete.promise, readPages(found.index, wanted).catch(giveUp)])
  }

  /** One half failed: the other must not wait for it. */
  function giveUp(error: unknown): never {
    fail(error)
    throw error
  }

  function progress(): FetchProgress {
    return {
      phase,
      totalBlocks: totals?.blocks,
      totalBytes: totals?.blockBytes,
      ...counts,
      ...(feed === undefined ? {} : { deltas: feed.counts() }),
    }
  }

  const done = run()
  // Whoever waits for it gets the error; nobody has to.
  done.catch(() => undefined)
  return {
    done,
    progress,
    explain: () => scheduler?.explain(clock.monotonicMs()),
    explainDeltas: () => feed?.explain(),
    demand,
    stop: () => abort.abort(new MirrorError('aborted', `the fetch of ${tree} was stopped`)),
  }
}
