/**
 * Carries retention out: what is not retained stops to count as complete, durably, then a collection of the store takes
 * its blocks. By itself now and then, and when it is asked to.
 *
 * The order matters to those who read: whoever finds a snapshot complete takes a lease on it in the same breath. So it
 * is either in use when this looks, and stays, or it was dropped before, and is found so.
 */
import { type Clock, sleep } from '../../base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../../base/errors.ts'
import { type Cid, cidFromKeyBytes } from '../../block/cid.ts'
import type { CollectionProgress, CollectionReport } from '../../store/collect/collection.ts'
import type { KeyValueOperation } from '../../store/index/key-value.ts'
import type { Store } from '../../store/store.ts'
import { readMarker } from '../../tree/manifest/checkout-marker.ts'
import { listVersions } from '../../tree/versions/version-folder.ts'
import type { Wish } from '../copies/challenge-book.ts'
import type { CopyChallenger } from '../copies/copy-challenger.ts'
import { lastCopies } from '../copies/last-copies.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import { type Goal, goalsOf } from '../goals.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { Ledger } from '../records/ledger.ts'
import { planRetention, type RetentionOptions, type RetentionPlan } from './retention.ts'
import { planSets, type SetRetentionOptions } from './set-retention.ts'

export interface CollectorComponents {
  readonly ledger: Pick<Ledger, 'state'>
  readonly store: Pick<Store, 'blocks' | 'collect' | 'values'>
  readonly complete: Pick<CompleteSnapshots, 'list' | 'revoke'>
  readonly self: { readonly peer: string; readonly site: string; readonly region: string }
  readonly clock: Clock
  readonly logger: ReplicaLog
  /** A complete snapshot could not be read in full. */
  readonly onHole: () => void
  /** A takedown means it: nothing of it stays. */
  readonly isGone?: (tree: string, snapshot: Cid) => boolean
  /** By which the copies of others are counted on; without it none of theirs is looked at. */
  readonly copies?: Pick<CopyChallenger, 'prove' | 'view'>
  /** Some snapshot counts as complete no longer. */
  readonly onDropped: () => void
}

export interface CollectorOptions extends RetentionOptions, SetRetentionOptions {
  /** At most so often by itself; 0 for never. */
  readonly everyMs: number
}

export interface CollectorResult extends CollectionReport, RetentionPlan {}

export interface CollectorRunOptions {
  readonly isDryRun?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: CollectionProgress) => void
}

export interface CollectorStatus {
  /** Since the start. */
  readonly runs: number
  readonly deadBytes: number
  readonly freedBytes: number
  /** Wall clock; undefined before the first. */
  readonly lastRunMs: number | undefined
}

export interface Collector {
  /** Printed CIDs of the snapshots that lie in check-outs of pins, by their markers. */
  checkedOut(): string[]
  /** @throws MirrorError as `Store.collect` does */
  run(options?: CollectorRunOptions): Promise<CollectorResult>
  status(): CollectorStatus
  /** From here on by itself, too. */
  start(): void
  /** Ends what runs, and resolves when nothing does. */
  stop(): Promise<void>
}

/** After a start records come in and fetches are resumed first. */
const FIRST_MS = 5 * 60_000
const LOOK_MS = 60_000
/** What no snapshot accounts for, such as an import that broke off, is looked for so often. */
const FULL_MS = 24 * 3_600_000
const SWEEP_BATCH = 512

export function createCollector(
  { ledger, store, complete, self, clock, logger, onHole, onDropped, isGone, copies }: CollectorComponents,
  options: CollectorOptions,
): Collector {
  const stopped = new AbortController()
  const since = store.values('unneeded')
  const pages = store.values('pages')
  const totals = { runs: 0, deadBytes: 0, freedBytes: 0 }
  let lastRunMs: number | undefined
  let background: Promise<void> | undefined

  const goals = (): Map<string, Goal> => goalsOf(ledger.state(), self, clock.nowMs())

  /** What this site has no right to (any more) is not asked for. */
  function askedFor(): Map<string, Goal> {
    return new Map([...goals()].filter(([, { hasNoRight }]) => hasNoRight !== true))
  }

  /** Others that say they hold what would be dropped have to show it first. */
  async function planShown(signal: AbortSignal): Promise<RetentionPlan> {
    const wishes: Wish[] = []
    const first = await plan(wishes)
    if (wishes.length === 0 || copies === undefined) return first
    await copies.prove(wishes, signal)
    return plan()
  }

  async function plan(wishes: Wish[] = []): Promise<RetentionPlan> {
    const unneededSinceMs = await followUnneeded(new Set(askedFor().keys()))
    const checkouts = readCheckouts()
    const nowMs = clock.nowMs()
    const state = ledger.state()
    // Without an await from here on: what is complete and who uses it are looked at in one instant.
    return planRetention(
      {
        state,
        goals: askedFor(),
        complete: complete.list(),
        leases: store.blocks.leases(),
        checkouts,
        unneededSinceMs,
        ...(copies === undefined
          ? {}
          : {
              lastCopy: lastCopies({
                ...copies.view(),
                ...(isGone === undefined ? {} : { isGone }),
                onUnshown: ({ tree, snapshot }, peers) =>
                  wishes.push(...peers.map((peer) => ({ tree, snapshot, peer }))),
              }),
            }),
        ...(isGone === undefined ? {} : { isGone }),
        nowMs,
      },
      options,
    )
  }

  function readCheckouts(): { tree: string; snapshot: string; path: string }[] {
    return [...goals().values()].flatMap(({ tree, checkouts: paths, versions }) =>
      paths.flatMap((path) => (versions.has(path) ? readVersions(tree, path) : readCheckout(path))),
    )
  }

  /** Remembers since when each held tree has not been asked for. */
  async function followUnneeded(wanted: ReadonlySet<string>): Promise<Map<string, number>> {
    const found = new Map<string, number>()
    const operations: KeyValueOperation[] = []
    for await (const [tree, value] of since.entries()) {
      if (wanted.has(tree)) operations.push({ type: 'delete', key: tree })
      else found.set(tree, Number(Buffer.from(value).toString('latin1')))
    }
    for (const { tree } of complete.list()) {
      if (wanted.has(tree) || found.has(tree)) continue
      found.set(tree, clock.nowMs())
      operations.push({ type: 'put', key: tree, value: Buffer.from(String(clock.nowMs()), 'latin1') })
    }
    if (operations.length > 0) await since.batch(operations)
    return found
  }

  function readVersions(tree: string, path: string): { tree: string; snapshot: string; path: string }[] {
    try {
      return listVersions(Buffer.from(path)).map((version) => ({
        tree,
        snapshot: version.snapshot,
        path: `${path}/${version.sequence}`,
      }))
    } catch (error) {
      throw asMirrorError(error, `read the markers of the check-outs in ${path}`)
    }
  }

  function readCheckout(path: string): { tree: string; snapshot: string; path: string }[] {
    try {
      const marker = readMarker(path)
      if (marker?.tree === undefined || marker.snapshot === undefined) return []
      return [{ tree: marker.tree, snapshot: marker.snapshot, path }]
    } catch (error) {
      throw asMirrorError(error, `read the marker of the check-out ${path}`)
    }
  }

  async function run({
    isDryRun = false,
    signal,
    onProgress,
  }: CollectorRunOptions): Promise<CollectorResult> {
    const ends = signal === undefined ? stopped.signal : AbortSignal.any([stopped.signal, signal])
    let chosen: RetentionPlan = { kept: [], dropped: [], partial: [] }
    try {
      // Before the store is asked to choose: others take their time to answer.
      await planShown(ends)
      const report = await store.collect({
        isDryRun,
        signal: ends,
        ...(onProgress === undefined ? {} : { onProgress }),
        async choose() {
          chosen = await plan()
          if (!isDryRun) await drop(chosen)
          return {
            whole: chosen.kept
              .filter(({ isComplete, view }) => isComplete && view === undefined)
              .map(({ snapshot }) => snapshot),
            views: chosen.kept.flatMap(({ snapshot, view }) =>
              view === undefined ? [] : [{ snapshot, view }],
            ),
            partial: [
              ...chosen.kept.filter(({ isComplete }) => !isComplete).map(({ snapshot }) => snapshot),
              ...chosen.partial,
              ...planSets(ledger.state(), chosen, options),
            ],
            dropped: chosen.dropped.map(({ snapshot }) => snapshot),
          }
        },
      })
      if (!isDryRun) {
        await forgetPages(ends)
        totals.runs += 1
        totals.deadBytes += report.deadBytes
        totals.freedBytes += report.freedBytes
        lastRunMs = clock.nowMs()
        logger.info(
          { ...report, kept: chosen.kept.length, dropped: chosen.dropped.length },
          'collection.done',
        )
      }
      return { ...report, ...chosen }
    } catch (error) {
      if (isMirrorError(error, 'corrupt')) onHole()
      throw error
    }
  }

  async function drop({ dropped }: RetentionPlan): Promise<void> {
    try {
      for (const { tree, snapshot, sequence, reason } of dropped) {
        await complete.revoke(tree, snapshot)
        logger.info({ tree, snapshot: snapshot.toString(), sequence, reason }, 'replica.dropped')
      }
    } finally {
      if (dropped.length > 0) onDropped()
    }
  }

  /** Of control objects and pages that are gone it need not be known which tree they belonged to. */
  async function forgetPages(signal: AbortSignal): Promise<void> {
    let batch: string[] = []
    const settle = async (): Promise<void> => {
      signal.throwIfAborted()
      const gone = await missingOf(batch)
      batch = []
      if (gone.length === 0) return
      await pages.batch(gone.map((key) => ({ type: 'delete', key })))
      // One that a fetch stored again in between was allowed again, and that may have been undone here.
      const stillGone = new Set(await missingOf(gone))
      const back = gone.filter((key) => !stillGone.has(key))
      if (back.length > 0)
        await pages.batch(back.map((key) => ({ type: 'put', key, value: Uint8Array.of(1) })))
    }
    for await (const [key] of pages.entries()) {
      batch.push(key)
      if (batch.length >= SWEEP_BATCH) await settle()
    }
    await settle()
  }

  async function missingOf(keys: readonly string[]): Promise<string[]> {
    const cids = keys.map((key) => cidFromKeyBytes(Buffer.from(key.slice(key.lastIndexOf('/') + 1), 'hex')))
    const isHere = await store.blocks.has(cids)
    return keys.filter((_, i) => isHere[i] !== true)
  }

  async function watch(signal: AbortSignal): Promise<void> {
    let lastMs: number | undefined
    await sleep(clock, Math.min(FIRST_MS, options.everyMs), signal)
    for (;;) {
      const nowMs = clock.monotonicMs()
      if (lastMs === undefined || nowMs - lastMs >= options.everyMs) {
        try {
          const isFullDue = lastMs === undefined || nowMs - lastMs >= FULL_MS
          if (isFullDue || (await planShown(signal)).dropped.length > 0) {
            lastMs = nowMs
            await run({})
          }
        } catch (error) {
          if (signal.aborted) return
          lastMs = nowMs
          logger.warn({ err: asMirrorError(error, 'collect') }, 'collection.failed')
        }
      }
      await sleep(clock, Math.min(LOOK_MS, options.everyMs), signal)
    }
  }

  return {
    checkedOut: () => readCheckouts().map(({ snapshot }) => snapshot),
    run: (runOptions = {}) => run(runOptions),
    status: () => ({ ...totals, lastRunMs }),
    start() {
      if (options.everyMs > 0) background ??= watch(stopped.signal).catch(() => undefined)
    },
    async stop() {
      stopped.abort(new MirrorError('aborted', 'the node is stopping'))
      await background
    },
  }
}
