/**
 * Keeps one tree at its goal: fetch the newest snapshot until it is complete, then move the check-outs, one after the
 * other. Tries for ever, with growing pauses; every failure is in the status and in the log.
 *
 * - A newer goal ends a fetch at once (what is stored stays, and the two share most of it), but not the fetch that follows
 *   such a one, nor a check-out that has begun: a tree that is published faster than it can be fetched and written would
 *   otherwise never be.
 * - A pause of the operator's ends a fetch, or the wait for its turn, and frees its place; what is complete is checked out.
 * - A check-out moves only after its snapshot is complete, and never back to a snapshot that is no longer the goal. Files of
 *   the first that is to move are written meanwhile, where that can be done (tree-ahead.ts).
 */
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { asMirrorError, type ErrorCode, isMirrorError, MirrorError } from '../../base/errors.ts'
import { filterKey, type PathFilter } from '../../base/path-filter.ts'
import type { Semaphore } from '../../base/semaphore.ts'
import type { Cid } from '../../block/cid.ts'
import type { CheckoutAhead } from '../../tree/checkout/ahead.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { Goal } from '../goals.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import { type BackoffOptions, backoffMs } from './backoff.ts'
import { createTreeAhead } from './tree-ahead.ts'
import type { FetchRequest, FetchView, RunningFetch } from './tree-types.ts'

export type { FetchRequest, FetchView, RunningFetch } from './tree-types.ts'

export interface TreeWorkerComponents {
  readonly complete: Pick<CompleteSnapshots, 'holds'>
  /** Resolves its `done` when the snapshot is complete and that is durable. Ends with the signal. */
  readonly startFetch: (request: FetchRequest) => RunningFetch
  /** Puts the snapshot at `path`. */
  readonly checkOut: (request: {
    tree: string
    snapshot: Cid
    path: string
    /** The path is a folder of versions, of which so many stay. */
    versions: number | undefined
    /** What of it is written already. */
    ahead: CheckoutAhead | undefined
    signal: AbortSignal
  }) => Promise<void>
  /** Begins a check-out while its tree is fetched, where that can be done; never, by default. */
  readonly beginCheckOut?: (request: {
    tree: string
    path: string
    versions: number | undefined
  }) => CheckoutAhead | undefined
  /** The snapshot that lies at `path` as a check-out of the tree, or to which `latest` leads there. */
  readonly checkedOut: (tree: string, path: string, versions: number | undefined) => string | undefined
  readonly fetchSlots: Semaphore
  /** For urgent ones, which do not wait for the others. */
  readonly urgentSlots: Semaphore
  readonly checkoutSlots: Semaphore
  readonly clock: Clock
  readonly random: () => number
  readonly logger: ReplicaLog
  readonly onChange: () => void
}

export interface TreeWorkerStatus {
  readonly phase: 'idle' | 'waiting' | 'fetching' | 'checking-out' | 'pausing'
  /** Absent when nothing went wrong since the goal was set. */
  readonly failure?: { readonly code: ErrorCode; readonly message: string; readonly failures: number }
  /** Of the goal; undefined when not known. */
  readonly missingBytes: number | undefined
  /** Printed CID by path. */
  readonly checkouts: ReadonlyMap<string, string | undefined>
}

export interface TreeWorker {
  /** Undefined: the tree is no longer kept here. */
  setGoal(goal: Goal | undefined): void
  /** Something changed for the better (a peer came): do not wait for the end of a pause. */
  nudge(): void
  /** Looks at the check-outs on disk: one that was removed or replaced by hand is made again. */
  look(): void
  status(): TreeWorkerStatus
  /** The fetch that is going on. */
  fetch(): FetchView | undefined
  stop(): Promise<void>
}

const STALL_MS = 60_000
const PAUSE: BackoffOptions = { firstMs: 1_000, maxMs: 60_000 }

export function createTreeWorker(components: TreeWorkerComponents, tree: string): TreeWorker {
  const { complete, clock, random, logger } = components
  const stopped = new AbortController()
  const checkouts = new Map<string, string | undefined>()
  let goal: Goal | undefined
  let phase: TreeWorkerStatus['phase'] = 'idle'
  let failures = 0
  let failure: MirrorError | undefined
  let fetching: (RunningFetch & { readonly snapshot: Cid; readonly startMs: number }) | undefined
  let running: Promise<void> | undefined
  /** Ends what should not go on under another goal: a fetch, or a pause. */
  let attempt = new AbortController()
  let canInterrupt = true
  /** A newer goal has ended a fetch, and none was completed since: the next one is seen through. */
  let wasCutShort = false
  const ahead = createTreeAhead((path) =>
    components.beginCheckOut?.({ tree, path, versions: goal?.versions.get(path) }),
  )

  function enter(next: TreeWorkerStatus['phase']): void {
    if (phase === next) return
    phase = next
    components.onChange()
  }

  function isReached(wanted: Goal): boolean {
    const { snapshot } = wanted
    if (snapshot === undefined || wanted.isHeldBack === true) return true
    const isHeld = complete.holds(tree, snapshot, wanted.filter)
    // Paused, there is nothing to do but what needs no fetch.
    if (!isHeld) return wanted.pause !== undefined
    return wanted.checkouts.every((path) => checkouts.get(path) === snapshot.toString())
  }

  /** One runner at a time; a goal that is set while it winds up is seen, because it looks again before it ends. */
  function wake(): void {
    running ??= run().finally(() => {
      running = undefined
      if (!stopped.signal.aborted && goal !== undefined && !isReached(goal)) wake()
    })
  }

  async function run(): Promise<void> {
    while (!stopped.signal.aborted && goal?.snapshot !== undefined && !isReached(goal)) {
      attempt = new AbortController()
      const current = goal
      const signal = AbortSignal.any([stopped.signal, attempt.signal])
      try {
        await reach(current, current.snapshot!, signal)
        failures = 0
        failure = undefined
      } catch (error) {
        if (stopped.signal.aborted) break
        if (goal !== current && attempt.signal.aborted) continue
        await pause(asMirrorError(error, `keep ${tree}`), signal)
      }
    }
    await ahead.close()
    canInterrupt = true
    enter('idle')
  }

  async function reach(current: Goal, snapshot: Cid, signal: AbortSignal): Promise<void> {
    canInterrupt = true
    if (!complete.holds(tree, snapshot, current.filter)) {
      await fetchSnapshot(current, snapshot, signal)
      // Under another filter than before it is to be written anew.
      for (const path of current.checkouts) if (isWanted(path)) checkouts.set(path, readCheckout(path))
    }
    const errors: MirrorError[] = []
    canInterrupt = false
    for (const path of current.checkouts) {
      if (checkouts.get(path) === snapshot.toString()) continue
      // A newer goal: this one's check-outs need not all be made before it.
      if (!wasCutShort && goal !== undefined && goal !== current && goal.snapshot?.equals(snapshot) !== true)
        return
      if (!isWanted(path)) continue
      try {
        await moveCheckout(path, snapshot)
      } catch (error) {
        if (stopped.signal.aborted) throw error
        errors.push(asMirrorError(error, `check out ${tree} to ${path}`))
      }
    }
    wasCutShort = false
    if (errors[0] !== undefined) throw errors[0]
  }

  async function fetchSnapshot(
    { filter, isUrgent, priority }: Goal,
    snapshot: Cid,
    signal: AbortSignal,
  ): Promise<void> {
    enter('waiting')
    const slots = isUrgent ? components.urgentSlots : components.fetchSlots
    await slots.run(
      async () => {
        signal.throwIfAborted()
        logger.info({ tree, snapshot: snapshot.toString() }, 'replica.fetch-started')
        const stall = new AbortController()
        const ends = AbortSignal.any([signal, stall.signal])
        const path = filter === undefined ? nextCheckout(snapshot) : undefined
        const pages = await ahead.follow(path, snapshot, () => missingBytes() ?? 0)
        const request = { tree, snapshot, filter, isUrgent, priority, pages, signal: ends }
        fetching = { ...components.startFetch(request), snapshot, startMs: clock.monotonicMs() }
        enter('fetching')
        const endWatch = watchProgress(fetching, stall)
        try {
          await fetching.done
        } catch (error) {
          // It may have taken the room that the fetch lacks.
          if (isMirrorError(error, 'no-space')) await ahead.close()
          throw stall.signal.aborted ? stall.signal.reason : error
        } finally {
          endWatch()
          fetching = undefined
          await ahead.settle()
        }
      },
      1,
      signal,
      priority,
    )
    logger.info({ tree, snapshot: snapshot.toString() }, 'replica.complete')
    components.onChange()
  }

  /** A fetch would wait for peers for ever: one that gets nothing makes room for other trees, and says why. */
  function watchProgress(fetch: RunningFetch, stall: AbortController): () => void {
    let lastBytes = -1
    let cancel: (() => void) | undefined
    const look = (): void => {
      const { phase: fetchPhase, heldBytes } = fetch.progress()
      if (heldBytes === lastBytes && (fetchPhase === 'snapshot' || fetchPhase === 'blocks')) {
        stall.abort(
          new MirrorError(
            'unreachable',
            `nothing arrived for ${STALL_MS / 1000} s: no peer that holds more of it answers`,
            {
              facts: { tree },
              hint: 'Is a site that holds it up and reachable? See mirrormesh status.',
            },
          ),
        )
        return
      }
      lastBytes = heldBytes
      cancel = clock.after(STALL_MS, look)
    }
    look()
    return () => cancel?.()
  }

  function isWanted(path: string): boolean {
    return goal?.checkouts.includes(path) === true
  }

  /** The first that is to move to the snapshot. */
  function nextCheckout(snapshot: Cid): string | undefined {
    return goal?.checkouts.find((path) => checkouts.get(path) !== snapshot.toString())
  }

  async function moveCheckout(path: string, snapshot: Cid): Promise<void> {
    let aheadFiles = 0
    await components.checkoutSlots.run(
      async () => {
        // While this waited the place may have been given to another tree.
        if (!isWanted(path)) return
        enter('checking-out')
        const versions = goal?.versions.get(path)
        const written = ahead.takeFor(path)
        aheadFiles = written?.files ?? 0
        try {
          await components.checkOut({
            tree,
            snapshot,
            path,
            versions,
            ahead: written,
            signal: stopped.signal,
          })
        } finally {
          await written?.close()
        }
      },
      1,
      stopped.signal,
    )
    if (!isWanted(path)) return
    checkouts.set(path, snapshot.toString())
    logger.info({ tree, snapshot: snapshot.toString(), path, aheadFiles }, 'checkout.moved')
    components.onChange()
  }

  async function pause(error: MirrorError, signal: AbortSignal): Promise<void> {
    failures++
    failure = error
    wasCutShort = false
    const pauseMs = backoffMs(failures, random, PAUSE)
    logger.warn({ tree, err: error, failures, pauseMs }, 'replica.failed')
    canInterrupt = true
    enter('pausing')
    components.onChange()
    await sleep(clock, pauseMs, signal).catch(() => undefined)
  }

  return {
    setGoal(next) {
      const before = goal
      goal = next
      ahead.keepOnlyFor(next?.checkouts ?? [])
      for (const path of checkouts.keys()) {
        const isOtherKind = before?.versions.has(path) !== next?.versions.has(path)
        if (isOtherKind || next?.checkouts.includes(path) !== true) checkouts.delete(path)
      }
      for (const path of next?.checkouts ?? []) {
        if (!checkouts.has(path)) checkouts.set(path, readCheckout(path))
      }
      const isOther =
        next?.snapshot === undefined ||
        next.isHeldBack !== before?.isHeldBack ||
        (next.pause === undefined) !== (before?.pause === undefined) ||
        !isSameFilter(next.filter, before?.filter) ||
        // One that waits for its turn waits in another line from now on.
        (phase === 'waiting' && (next.isUrgent !== before?.isUrgent || next.priority !== before.priority)) ||
        before?.snapshot?.equals(next.snapshot) !== true
      // Reached by asking for less: a check-out that failed is not wanted any more.
      if (isOther || isReached(next)) {
        failures = 0
        failure = undefined
      }
      const isSeenThrough =
        wasCutShort &&
        fetching !== undefined &&
        next !== undefined &&
        next.isHeldBack !== true &&
        next.pause === undefined
      if ((isOther || phase === 'pausing') && canInterrupt && !isSeenThrough) {
        if (isOther && fetching !== undefined) wasCutShort = next?.pause === undefined
        attempt.abort(new MirrorError('aborted', `${tree} has a newer goal`))
      }
      if (next !== undefined && !isReached(next)) wake()
      components.onChange()
    },
    nudge() {
      if (phase === 'pausing') attempt.abort(new MirrorError('aborted', 'try again at once'))
    },
    look() {
      if (phase !== 'idle' || goal === undefined) return
      for (const path of goal.checkouts) {
        const found = readCheckout(path)
        if (found === checkouts.get(path)) continue
        logger.warn({ tree, path, snapshot: found }, 'checkout.found-changed')
        checkouts.set(path, found)
        components.onChange()
      }
      if (!isReached(goal)) wake()
    },
    status: () => ({
      phase,
      ...(failure === undefined
        ? {}
        : { failure: { code: failure.code, message: failure.message, failures } }),
      missingBytes: missingBytes(),
      checkouts,
    }),
    fetch() {
      if (fetching === undefined) return undefined
      const { snapshot, startMs } = fetching
      const seconds = (clock.monotonicMs() - startMs) / 1000
      return {
        ...fetching.progress(),
        snapshot,
        seconds,
        explanation: fetching.explain(),
        deltaExplanation: fetching.explainDeltas?.(),
        ahead: ahead.view(),
      }
    },
    async stop() {
      stopped.abort(new MirrorError('aborted', 'the node is stopping'))
      await running
      await ahead.close()
    },
  }

  function readCheckout(path: string): string | undefined {
    try {
      return components.checkedOut(tree, path, goal?.versions.get(path))
    } catch (error) {
      logger.warn({ tree, path, err: asMirrorError(error, 'look at a check-out') }, 'checkout.unreadable')
      return undefined
    }
  }

  function missingBytes(): number | undefined {
    if (goal?.snapshot === undefined) return undefined
    if (complete.holds(tree, goal.snapshot, goal.filter)) return 0
    const progress = fetching?.progress()
    return progress?.totalBytes === undefined
      ? undefined
      : Math.max(0, progress.totalBytes - progress.heldBytes)
  }
}

function isSameFilter(a: PathFilter | undefined, b: PathFilter | undefined): boolean {
  return a === undefined || b === undefined ? a === b : filterKey(a) === filterKey(b)
}
