/**
 * Publishing: a folder becomes the next snapshot of a tree, and a signed head makes that known to the mesh.
 *
 * The order is the point. Every block is durable before the snapshot counts as complete here, and that is durable
 * before the head is signed; the head is durable before anybody hears of it. Killed in between, the mesh stands at
 * the old head, and the next publish finds the blocks already stored.
 *
 * Before the first signature after a start the node reconciles with its peers: a publisher that came back from an old
 * backup learns of its own later heads first, instead of signing another head at a place that is taken. When nobody
 * answers it publishes all the same (the mesh must work when the links are down) and the log says so.
 *
 * A source that a stat cache knows to be unchanged since the newest snapshot, which is complete here, is not even
 * imported.
 *
 * A source that has lost much or everything is not published by itself (shrink-guard.ts): what is left of it waits for an
 * admin's verdict (held-back.ts).
 */

import { utf8 } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import { type ChunkerParams, DEFAULT_CHUNKER } from '../../block/chunker.ts'
import type { Cid } from '../../block/cid.ts'
import { decodeSnapshot, type Snapshot } from '../../dag/snapshot.ts'
import type { Host } from '../../net/ports.ts'
import type { KeyPair } from '../../record/key.ts'
import type { TreeBody } from '../../record/kinds/tree.ts'
import type { Head } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { abortable } from '../../tree/abort.ts'
import type { ImportCompression } from '../../tree/import/block-sink.ts'
import { type ImportResult, importTree } from '../../tree/import/import.ts'
import type { OnProgress } from '../../tree/progress.ts'
import { isUnchanged } from '../../tree/stat-cache/find-unchanged.ts'
import type { StatCaches } from '../../tree/stat-cache/stat-caches.ts'
import type { DeltaMode } from '../deltas/delta-mode.ts'
import type { DeltaPublisher } from '../deltas/delta-publisher.ts'
import type { DeltaRequest, DeltaWork } from '../deltas/delta-work.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import { createBlocksOf, isPrivateTree } from '../holdings/tree-views.ts'
import type { Ledger } from '../records/ledger.ts'
import type { HeldBack, HeldBackKeeper } from './held-back.ts'
import { checkPublisher, checkStanding, nextHead } from './next-head.ts'
import { publishHeld } from './publish-held.ts'
import { type HeadPlace, isSame, type PublishResult, resultOf, unchangedResult } from './publish-result.ts'
import { checkRules } from './publish-rules.ts'
import { reconcileWithPeers } from './reconcile-first.ts'
import {
  type DropVersionsOptions,
  dropVersions,
  type RollBackOptions,
  type RollBackResult,
  rollBack,
} from './republish.ts'
import { findShrink } from './shrink-guard.ts'
import { startDeltas } from './start-deltas.ts'
import { addVersion, checkVersion } from './versioned-tree.ts'

export interface PublisherComponents {
  readonly ledger: Ledger
  readonly blocks: BlockStore
  readonly complete: Pick<CompleteSnapshots, 'adopt' | 'has'>
  readonly nodeKey: KeyPair
  readonly clock: Clock
  /** On the store's file system. */
  readonly tempDir: string
  readonly statCaches: StatCaches
  readonly host: Pick<Host, 'peers' | 'reconcile'>
  readonly logger: ReplicaLog
  /** None are made without it. */
  readonly deltas?: DeltaPublisher
  /** Where what has lost too much waits; it is just refused without. */
  readonly heldBack?: Pick<HeldBackKeeper, 'hold'>
  /** How a tree without a snapshot is cut; by default as this version does. */
  readonly chunkerOfNewTrees?: () => ChunkerParams
}

export interface PublishOptions {
  readonly path: string | Uint8Array
  readonly tree: string
  readonly notes?: Readonly<Record<string, string>>
  /** Publish a source without a single file although the snapshot before it had some. */
  readonly allowEmpty?: boolean
  /** Publish although more than the set share of the files or bytes is gone. */
  readonly acceptShrink?: boolean
  /** Leave the chunks in the source's files, which are not copied: the snapshot is no safer than they are. */
  readonly inPlace?: boolean
  /** Rules in gitignore syntax; those of the newest snapshot when absent. */
  readonly ignore?: readonly string[]
  /** The folder becomes the version of this name, beside those of the newest snapshot: for trees of kind `versioned`. */
  readonly version?: string
  /** Imports without writing a block, and signs nothing. */
  readonly isDry?: boolean
  /** Threads of the import; its own choice when absent. */
  readonly workers?: number
  /** When the deltas against the snapshot before are made; `along` by default. */
  readonly deltas?: DeltaMode
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
  readonly onDeltas?: DeltaRequest['onProgress']
}

export interface Publisher {
  /**
   * Resolves when the head is signed, and the deltas are made unless they come `after`: these go on when the signal fires.
   * @throws MirrorError `not-found` for an unknown tree, `refused` when this node is not its publisher, the source is
   *   empty or has lost too much, or no rules are given and those of the newest snapshot cannot be read, `conflict` for a tree in dispute or
   *   whose publisher changed meanwhile; and what the import throws
   */
  publish(options: PublishOptions): Promise<PublishResult>
  /**
   * A new head with the snapshot of an old one, which must be complete here.
   * @throws MirrorError as `publish`; `not-found` for a sequence that there is not, `degraded` when it is not complete here
   */
  rollBack(options: RollBackOptions): Promise<RollBackResult>
  /**
   * A new head without some of the versions of a tree of kind `versioned`.
   * @throws MirrorError as `publish`; `not-found` for a version that there is not, `degraded` when the newest snapshot is not complete here
   */
  dropVersions(options: DropVersionsOptions): Promise<RollBackResult>
  /** What was held back, after an admin's yes. @throws MirrorError as `publish`; `conflict` when the tree has moved on */
  publishHeld(
    held: HeldBack,
    options: { readonly deltas: DeltaMode; readonly signal: AbortSignal },
  ): Promise<HeadPlace>
}

export function createPublisher(
  components: PublisherComponents,
  {
    compression = 'none',
    maxShrinkShare = 0.3,
  }: {
    readonly compression?: ImportCompression
    /** See shrink-guard.ts. */
    readonly maxShrinkShare?: number
  } = {},
): Publisher {
  const { ledger, blocks, complete, nodeKey, clock, tempDir, statCaches, logger } = components
  const blocksOf = createBlocksOf(blocks, { state: ledger.state, clock })
  let reconciled: Promise<boolean> | undefined

  /** Once a start; again as long as nobody has answered. */
  async function reconcileOnce(): Promise<void> {
    reconciled ??= reconcileWithPeers(components)
    let isDone = false
    try {
      isDone = await reconciled
    } finally {
      if (!isDone) reconciled = undefined
    }
    if (!isDone) logger.warn({}, 'publish.unreconciled')
  }

  /** The newest snapshot, when the source is still what its stat cache says it was made of. */
  async function findUnchanged(
    before: Head | undefined,
    previous: Snapshot | undefined,
    { path, tree, notes = {}, ignore, inPlace, version, signal, onProgress }: PublishOptions,
  ): Promise<Snapshot | undefined> {
    // In place it is looked at each time: the blocks may lie elsewhere, and are to lie there. One version is not the tree.
    if (inPlace === true || version !== undefined) return undefined
    if (before === undefined || previous === undefined || !complete.has(tree, before.snapshot))
      return undefined
    const wanted = [notes, ignore ?? previous.ignore ?? []]
    if (JSON.stringify(wanted) !== JSON.stringify([previous.notes, previous.ignore ?? []])) return undefined
    const isSameSource = await isUnchanged(
      { statCaches, tempDir, clock },
      {
        path,
        tree,
        snapshot: before.snapshot,
        chunker: previous.chunker,
        ignore: previous.ignore ?? [],
        ...(signal === undefined ? {} : { signal }),
        ...(onProgress === undefined ? {} : { onProgress }),
      },
    )
    return isSameSource ? previous : undefined
  }

  /** Signs the head of what was imported, unless the newest snapshot is the same. */
  async function sign(
    imported: ImportResult,
    before: Head | undefined,
    previous: Snapshot | undefined,
    options: PublishOptions,
    work: DeltaWork | undefined,
  ): Promise<{ head: HeadPlace; isNew: boolean }> {
    const { tree, signal } = options
    const facts = { tree, snapshot: imported.snapshotCid.toString() }
    if (before !== undefined && previous !== undefined && isSame(imported.snapshot, previous)) {
      checkStanding(ledger.state(), tree, before.snapshot)
      if (options.isDry !== true) await complete.adopt(tree, before.snapshot, signal)
      logger.info({ ...facts, sequence: before.sequence }, 'publish.unchanged')
      return { head: before, isNew: false }
    }
    if (options.isDry === true) {
      const { epoch, newest } = checkPublisher(ledger.state(), tree, nodeKey)
      const sequence = (newest?.sequence ?? 0) + 1
      return { head: { epoch: epoch.epoch, sequence, snapshot: imported.snapshotCid }, isNew: true }
    }
    signal?.throwIfAborted()
    checkStanding(ledger.state(), tree, imported.snapshotCid)
    await complete.adopt(tree, imported.snapshotCid, signal)
    const said = {
      snapshot: imported.snapshotCid,
      counts: countsOf(imported),
      ...(options.version === undefined ? {} : { madeOf: { head: before } }),
    }
    const record = await ledger.issue(
      nodeKey,
      'head',
      (state) => nextHead(state, tree, said, nodeKey),
      ({ content }) => (content.kind === 'head' ? work?.announcement(content.body.sequence) : undefined),
    )
    if (record.content.kind !== 'head') throw new MirrorError('internal', 'the head was not signed as one')
    const { epoch, sequence } = record.content.body
    logger.info({ ...facts, epoch, sequence }, 'publish.head-signed')
    return { head: { epoch, sequence, snapshot: imported.snapshotCid }, isNew: true }
  }

  /** @throws MirrorError `refused`: it waits for an admin's verdict, unless that is known */
  async function checkLoss(
    { snapshot, snapshotCid, files, bytes }: ImportResult,
    before: Head | undefined,
    previous: Snapshot | undefined,
    options: PublishOptions,
  ): Promise<void> {
    if (before === undefined) return
    const { tree } = options
    // The head has the count as well: its snapshot may not be stored here, after a new epoch or a damaged disk.
    const counts = { ...previous?.counts, ...before.counts }
    const refusal = findShrink(
      { files: counts.files, bytes: counts.bytes },
      { files, bytes },
      {
        maxShare: maxShrinkShare,
        isAccepted: options.acceptShrink === true,
        isEmptyAccepted: options.allowEmpty === true,
        source: Buffer.from(options.path).toString(),
        tree,
      },
    )
    if (refusal === undefined) return
    if (options.isDry === true || components.heldBack === undefined) throw refusal()
    const held = await components.heldBack.hold({ snapshot, snapshotCid, before: { ...before, counts } })
    throw refusal(
      held === undefined
        ? ', and an admin has rejected the same before'
        : `, and it waits until ${new Date(held.expiresMs).toISOString().slice(0, 10)} for an admin: mirrormesh tree accept ${tree}`,
    )
  }

  /** @returns what could not be judged. @throws MirrorError `refused` */
  async function judgeRules(
    body: TreeBody,
    { snapshot }: ImportResult,
    previous: Snapshot | undefined,
    { isDry, signal }: PublishOptions,
  ): Promise<readonly string[]> {
    if (isDry === true)
      return body.gate === undefined ? [] : ['a dry run stores nothing that its gate could judge']
    const judged = { source: blocks, root: snapshot.root, before: previous?.root }
    return checkRules(body, judged, signal)
  }

  async function publishHead(options: PublishOptions): Promise<{ result: PublishResult; work?: DeltaWork }> {
    const { tree, signal } = options
    const startedMs = clock.monotonicMs()
    const secondsSince = (): number => (clock.monotonicMs() - startedMs) / 1000
    checkPublisher(ledger.state(), tree, nodeKey)
    await abortable(reconcileOnce(), signal)
    const { newest: before, body } = checkPublisher(ledger.state(), tree, nodeKey)
    checkVersion(body, options)
    const previous = before === undefined ? undefined : await readSnapshot(blocks, before.snapshot)
    // Until the head is signed: nothing else says that these blocks are needed.
    using lease = blocks.lease({
      purpose: `publish ${tree}`,
      isWriter: true,
      roots: before === undefined ? [] : [before.snapshot],
    })
    const unchanged = await findUnchanged(before, previous, options)
    if (before !== undefined && unchanged !== undefined) {
      const facts = { tree, snapshot: before.snapshot.toString(), sequence: before.sequence }
      logger.info({ ...facts, isByStat: true }, 'publish.unchanged')
      return { result: resultOf(unchangedResult(unchanged), before, false, secondsSince()) }
    }
    if (before !== undefined && previous === undefined && options.ignore === undefined) {
      throw unknownRules(tree, before)
    }
    const ignore = options.ignore ?? previous?.ignore
    const read = await importTree(
      { blocks: blocksOf(tree), tempDir, clock },
      {
        path: options.path,
        isPrivate: isPrivateTree(ledger.state(), tree),
        tree,
        statCaches,
        ...(before === undefined ? {} : { parent: before.snapshot }),
        // Cut otherwise, every file would be new to every site: another default is for new trees.
        chunker: previous?.chunker ?? components.chunkerOfNewTrees?.() ?? DEFAULT_CHUNKER,
        ...(options.notes === undefined ? {} : { notes: options.notes }),
        ...(options.inPlace === true ? { inPlace: 'in-place' as const } : {}),
        compression,
        ...(ignore === undefined ? {} : { ignore }),
        ...(options.isDry === undefined ? {} : { isDry: options.isDry }),
        ...(options.workers === undefined ? {} : { workers: options.workers }),
        ...(options.version === undefined ? {} : { below: utf8(options.version) }),
        ...(signal === undefined ? {} : { signal }),
        ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
      },
    )
    let kept: Cid | undefined
    try {
      lease.protect(read.snapshotCid)
      const imported =
        options.version === undefined
          ? read
          : await addVersion(
              { ...components, blocks: blocksOf(tree) },
              {
                ...{ read, tree, version: utf8(options.version), before, previous },
                signal,
              },
            )
      lease.protect(imported.snapshotCid)
      // Should a rule say no: what was read is kept, and the next publish reads what has changed.
      kept = imported.snapshotCid
      const unjudged = await judgeRules(body, imported, previous, options)
      kept = undefined
      await checkLoss(imported, before, previous, options)
      const { deltas = 'along', isDry, onDeltas } = options
      const work = await startDeltas(components, {
        ...{ tree, snapshot: imported.snapshotCid, before, mode: isDry === true ? 'off' : deltas },
        ...(onDeltas === undefined ? {} : { onProgress: onDeltas }),
      })
      // The first delta may take long to come, or never does.
      if (work !== undefined) onDeltas?.({ bytes: 0, totalBytes: 0 })
      // This lease holds them until the records that name them are signed.
      if (deltas === 'before' && work !== undefined) await abortable(work.done, signal)
      const { head, isNew } = await sign(imported, before, previous, options, work)
      kept = head.snapshot
      const result = { ...resultOf(imported, head, isNew, secondsSince()), unjudged }
      if (!isNew || work === undefined) return { result }
      work.published(head.sequence)
      return { result, work }
    } finally {
      // Only now is the snapshot durable, and the tree's.
      if (kept === undefined) read.cache?.drop()
      else await read.cache?.keep(kept)
    }
  }

  return {
    async publish(options) {
      const { result, work } = await publishHead(options)
      if (work === undefined || options.deltas === 'after') return result
      const report = await abortable(work.done, options.signal)
      return report === undefined ? result : { ...result, deltas: report }
    },
    rollBack: (options) => rollBack(components, reconcileOnce, options),
    dropVersions: (options) => dropVersions(components, reconcileOnce, options),
    publishHeld: (held, options) => publishHeld(components, reconcileOnce, held, options),
  }
}

async function readSnapshot(blocks: BlockStore, cid: Cid): Promise<Snapshot | undefined> {
  const bytes = await blocks.get(cid)
  return bytes === undefined ? undefined : decodeSnapshot(cid, bytes)
}

function countsOf(imported: ImportResult): Head['counts'] {
  return {
    files: imported.files,
    directories: imported.directories,
    symlinks: imported.symlinks,
    bytes: imported.bytes,
    blocks: imported.blocks,
    blockBytes: imported.snapshot.counts.blockBytes,
  }
}

/** What they left out would be published, and nobody would have said so. */
function unknownRules(tree: string, { sequence, snapshot }: Head): MirrorError {
  const name = `${tree}@${sequence}`
  return new MirrorError(
    'refused',
    `${name} is not stored at its publisher any more, so the patterns that it left out by are not known: nothing was published`,
    {
      facts: { tree, sequence, snapshot: snapshot.toString() },
      hint: 'Say what to leave out with --exclude or --exclude-from, or --no-exclude to leave out nothing.',
    },
  )
}
