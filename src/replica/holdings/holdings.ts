/**
 * What this node holds: which snapshots in full (persistent), which pages and blocks of those it fetches (in memory),
 * and which control objects and pages belong to which tree (persistent), so that blocks are served by their position
 * in a tree and by nothing else. Those who watch a snapshot are told of changes in batches.
 *
 * "Complete" is written, synced, only by those who have checked it: `HoldingInProgress.complete` after a fetch walked
 * the closure, `adopt` after an import stored it.
 */
import { hex } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey, cidToKeyBytes } from '../../block/cid.ts'
import { listPages } from '../../dag/reader.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { HoldingUpdate } from '../../net/ports.ts'
import type { BlockReader } from '../../store/block-store.ts'
import type { KeyValue, KeyValueOperation } from '../../store/index/key-value.ts'
import { BitSet } from '../bit-set.ts'
import type { HoldingWatcher } from './holding-watcher.ts'
import { createWatcher } from './holding-watcher.ts'
import { findMissing } from './index-check.ts'
import { encodeView, type SnapshotView, VIEWS_NAMESPACE } from './snapshot-views.ts'
import { storedHoldings } from './stored-holdings.ts'

export interface HoldingsComponents {
  readonly blocks: BlockReader
  /** The store as a tree has it; the same for all trees where none is private. */
  readonly blocksOf?: (tree: string) => BlockReader
  /** Store.values. */
  readonly values: (namespace: string) => KeyValue
  readonly clock: Clock
}

export interface Holdings {
  /** In full. */
  isComplete(tree: string, snapshot: Cid): Promise<boolean>
  /**
   * Registers a snapshot of which every block is stored and durable here (after an import), and tells watchers.
   * @throws MirrorError `unstable` when a block of it is not stored (any more)
   */
  adopt(tree: string, snapshot: Cid, signal?: AbortSignal): Promise<void>
  /** A block of it was lost: it is complete no longer, from here on and after a restart. */
  revoke(tree: string, snapshot: Cid): Promise<void>
  /** Starts to tell of a snapshot that is being fetched. One at a time for each. @throws MirrorError `busy` */
  begin(tree: string, snapshot: Cid): HoldingInProgress
  /** Lets members who may read `tree` ask for this control object or page. Durable with the next synced write. */
  allow(tree: string, cid: Cid): Promise<void>
  isAllowed(tree: string, cid: Cid): Promise<boolean>
  /** The page belongs to a fetch that is not complete. */
  isInProgress(tree: string, page: Cid): boolean
  /** All that is held of the snapshot, then changes; ends after `complete`. */
  watch(tree: string, snapshot: Cid, signal: AbortSignal): AsyncIterable<HoldingUpdate>
}

/** The running account of one fetch. */
export interface HoldingInProgress {
  /** A page of the index was read; `has` says which of its blocks are stored. */
  addPage(page: number, cid: Cid, has: readonly boolean[]): void
  addBlocks(page: number, offsets: readonly number[]): void
  /** Every block of the page is stored. */
  fillPage(page: number): void
  /** The closure was checked and is durable. */
  complete(): Promise<void>
  /** The same of what a view needs. */
  completeView(view: SnapshotView): Promise<void>
  /** The fetch ended, complete or not. */
  end(): void
}

interface Progress {
  readonly full: BitSet
  /** Held blocks of pages that are not full, with the number of blocks in the page. */
  readonly partial: Map<number, { readonly held: BitSet; readonly blocks: number }>
  readonly pageCids: Set<string>
}

/** Of a fetch in progress. Where a filter leaves pages partly held there may be more: those are not told of. */
const MAX_PARTIAL_PAGES = 8192
const MARK = new Uint8Array([1])

export function createHoldings({
  blocks: all,
  blocksOf = () => all,
  values,
  clock,
}: HoldingsComponents): Holdings {
  const completeValues = values('complete')
  const viewValues = values(VIEWS_NAMESPACE)
  const pageValues = values('pages')
  const inProgress = new Map<string, Progress>()
  const watchers = new Map<string, Set<HoldingWatcher>>()
  const nameOf = (tree: string, snapshot: Cid): string => `${tree}/${snapshot.toString()}`
  const keyOf = (tree: string, cid: Cid): string => `${tree}/${hex(cidToKeyBytes(cid))}`

  function tell(name: string, update: HoldingUpdate): void {
    for (const watcher of watchers.get(name) ?? []) watcher.push(update)
  }

  async function markComplete(tree: string, snapshot: Cid): Promise<void> {
    await completeValues.put(nameOf(tree, snapshot), MARK, { sync: true })
    await viewValues.delete(nameOf(tree, snapshot))
    tell(nameOf(tree, snapshot), { kind: 'complete' })
  }

  /** What there is of a snapshot that is complete under a filter. False when it is not. */
  async function pushStored(
    watcher: HoldingWatcher,
    tree: string,
    snapshot: Cid,
    signal: AbortSignal,
  ): Promise<boolean> {
    if ((await viewValues.get(nameOf(tree, snapshot))) === undefined) return false
    const blocks = blocksOf(tree)
    const bytes = await blocks.get(snapshot, signal)
    if (bytes === undefined) return false
    watcher.push({ kind: 'pages', full: [] })
    try {
      const { index } = decodeSnapshot(snapshot, bytes)
      for await (const update of storedHoldings(blocks, index, signal)) watcher.push(update)
    } catch (error) {
      // Some of its index was lost: whoever looks after damage deals with that.
      if (!isMirrorError(error, 'not-found')) throw error
    }
    return true
  }

  async function* watch(tree: string, snapshot: Cid, signal: AbortSignal): AsyncIterable<HoldingUpdate> {
    const name = nameOf(tree, snapshot)
    const watcher = createWatcher(clock)
    const all = watchers.get(name) ?? new Set()
    watchers.set(name, all.add(watcher))
    try {
      // Registered before it is asked: nothing that happens meanwhile is missed, at worst it is told twice.
      const isComplete = (await completeValues.get(name)) !== undefined
      const progress = inProgress.get(name)
      if (isComplete) watcher.push({ kind: 'complete' })
      else if (progress === undefined) {
        const stored = await pushStored(watcher, tree, snapshot, signal)
        if (!stored) watcher.push({ kind: 'unknown' })
      } else for (const update of stateOf(progress)) watcher.push(update)
      for (;;) {
        for (const update of await watcher.next(signal)) {
          yield update
          if (update.kind === 'complete') return
        }
      }
    } finally {
      all.delete(watcher)
      if (all.size === 0 && watchers.get(name) === all) watchers.delete(name)
    }
  }

  return {
    isComplete: async (tree, snapshot) => (await completeValues.get(nameOf(tree, snapshot))) !== undefined,
    async adopt(tree, snapshot, signal) {
      const operations: KeyValueOperation[] = []
      const allow = (cid: Cid): void => {
        operations.push({ type: 'put', key: keyOf(tree, cid), value: MARK })
      }
      const blocks = blocksOf(tree)
      // A copy that counted as stored while the import went on may have turned out damaged since.
      const missing = await findMissing(blocks, snapshot, signal)
      if (missing !== undefined) throw lost(tree, missing)
      const bytes = await blocks.get(snapshot, signal)
      if (bytes === undefined) throw lost(tree, snapshot)
      allow(snapshot)
      const { index } = decodeSnapshot(snapshot, bytes)
      const source = {
        get: (cid: Cid) => {
          allow(cid)
          return blocks.get(cid, signal)
        },
      }
      allow(index)
      for await (const page of listPages(source, index, signal)) {
        allow(page.cid)
        if (operations.length >= 1024) await pageValues.batch(operations.splice(0))
      }
      await pageValues.batch(operations)
      await markComplete(tree, snapshot)
    },
    async revoke(tree, snapshot) {
      await completeValues.delete(nameOf(tree, snapshot), { sync: true })
      await viewValues.delete(nameOf(tree, snapshot), { sync: true })
    },
    begin(tree, snapshot) {
      const name = nameOf(tree, snapshot)
      if (inProgress.has(name))
        throw new MirrorError('busy', `snapshot ${snapshot.toString()} of ${tree} is being fetched already`)
      const progress: Progress = { full: new BitSet(), partial: new Map(), pageCids: new Set() }
      inProgress.set(name, progress)
      tell(name, { kind: 'pages', full: [] })
      const fillPage = (page: number): void => {
        progress.partial.delete(page)
        if (progress.full.add(page)) tell(name, { kind: 'pages', full: [page] })
      }
      return {
        addPage(page, cid, has) {
          progress.pageCids.add(cidKey(cid))
          const offsets = has.flatMap((isHere, offset) => (isHere ? [offset] : []))
          if (offsets.length === has.length) {
            fillPage(page)
            return
          }
          if (!progress.partial.has(page) && progress.partial.size >= MAX_PARTIAL_PAGES) return
          const held = new BitSet(has.length)
          for (const offset of offsets) held.add(offset)
          progress.partial.set(page, { held, blocks: has.length })
          if (offsets.length > 0) tell(name, { kind: 'blocks', page, offsets })
        },
        addBlocks(page, offsets) {
          const known = progress.partial.get(page)
          if (known === undefined) return
          for (const offset of offsets) known.held.add(offset)
          tell(name, { kind: 'blocks', page, offsets })
          if (known.held.size === known.blocks) fillPage(page)
        },
        fillPage,
        async complete() {
          await markComplete(tree, snapshot)
        },
        completeView: (view) => viewValues.put(name, encodeView(view), { sync: true }),
        end() {
          inProgress.delete(name)
        },
      }
    },
    allow: (tree, cid) => pageValues.put(keyOf(tree, cid), MARK),
    isAllowed: async (tree, cid) => (await pageValues.get(keyOf(tree, cid))) !== undefined,
    isInProgress(tree, page) {
      const key = cidKey(page)
      for (const [name, { pageCids }] of inProgress)
        if (name.startsWith(`${tree}/`) && pageCids.has(key)) return true
      return false
    },
    watch,
  }
}

function lost(tree: string, missing: Cid): MirrorError {
  return new MirrorError('unstable', `block ${missing.toString()} of ${tree} is not stored any more`, {
    facts: { tree, cid: missing.toString() },
    hint: 'Its copy was damaged on disk. Publish again, and check the disk.',
  })
}

function* stateOf({ full, partial }: Progress): Generator<HoldingUpdate> {
  if (full.size === 0 && partial.size === 0) yield { kind: 'pages', full: [] }
  if (full.size > 0) yield { kind: 'pages', full: [...full] }
  for (const [page, { held }] of partial)
    if (held.size > 0) yield { kind: 'blocks', page, offsets: [...held] }
}
