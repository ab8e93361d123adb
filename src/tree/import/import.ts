/**
 * Import: a directory, file or symbolic link becomes a snapshot in the store.
 *
 * One thread spools the tree's metadata, read threads take batches of it as they come and cut, hash and store contents;
 * those that find none help with large files. When the scan has ended, and with it how many names each hard-link group has
 * is known, its thread follows the readers in walk order and builds the DAG. This thread hands out batches and answers what
 * the store holds. Temporary files have no names, so a kill leaves nothing but unlisted packs.
 *
 * When `importTree` resolves every block of the snapshot is durable. An unchanged tree gives the same root entry,
 * whatever the order in which a file system lists it. The source is only ever read.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { ChunkerParams } from '../../block/chunker.ts'
import { checkChunkerParams, DEFAULT_CHUNKER } from '../../block/chunker.ts'
import type { Cid } from '../../block/cid.ts'
import { cidFromKeyBytes } from '../../block/cid.ts'
import { decodeEntry } from '../../dag/entry.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import { encodeSnapshot } from '../../dag/snapshot.ts'
import { checkTreeName } from '../../dag/tree-name.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { abortable } from '../abort.ts'
import { checkIgnoreRules } from '../ignore-rules.ts'
import type { OnProgress } from '../progress.ts'
import { createProgress } from '../progress.ts'
import { openUnnamedFile } from '../spool/record-bytes.ts'
import { trustLimits } from '../spool/stat-key.ts'
import { sourceBytes } from '../stat-cache/find-unchanged.ts'
import type { StatCaches } from '../stat-cache/stat-caches.ts'
import type { Thread } from '../thread.ts'
import { startThread } from '../thread.ts'
import { createBlockBroker } from './block-broker.ts'
import type { ImportCompression } from './block-sink.ts'
import type { ImportBacking } from './import-backing.ts'
import { openImportBacking } from './import-backing.ts'
import { createImportPlan } from './import-plan.ts'
import { createImportReaders } from './import-readers.ts'
import type {
  BuildResult,
  ReadAnswer,
  ReadInput,
  ReadQuestion,
  TreeAnswer,
  TreeInput,
  TreeQuestion,
} from './import-threads.ts'
import { createSharedFiles } from './shared-files.ts'

/** A hundredth of it is cut twice, and at the end of a file one reader waits for so much at most. */
const SPAN_BYTES = 16 * 1024 * 1024

export interface ImportOptions {
  readonly path: string | Uint8Array
  readonly tree: string
  readonly parent?: Cid
  readonly chunker?: ChunkerParams
  readonly notes?: Readonly<Record<string, string>>
  /**
   * Leave the chunks in the source's files, which are not copied: `in-place` when it is published, `adopted` when it is
   * only made known to the store. The snapshot is then no safer than those files.
   */
  readonly inPlace?: 'in-place' | 'adopted'
  /** The blocks are not everybody's: their packs say so too, for an index that has to be rebuilt from them. */
  readonly isPrivate?: boolean
  /** Read threads; by default one a core, at most 4. */
  readonly workers?: number
  /** Of a large file so much is one read thread's at a time. */
  readonly spanBytes?: number
  /** How new blocks rest; plain by default. */
  readonly compression?: ImportCompression
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
  /** Rules in gitignore syntax; what they exclude is left out. Recorded in the snapshot. */
  readonly ignore?: readonly string[]
  /** Where the last import of this source left what it found, and this one does. */
  readonly statCaches?: StatCaches
  /** Everything is read and counted, nothing is written, and the result names a snapshot that does not exist. */
  readonly isDry?: boolean
  /** The path at which the tree will lie in a larger one (graft.ts): with it, hard links are as if all were imported at once. */
  readonly below?: Uint8Array
}

/** What was read, and what of it was new. */
export interface ImportCounts {
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  /** Fifos, sockets and devices. */
  readonly specials: number
  /** Sum of the file sizes. */
  readonly bytes: number
  readonly blocks: number
  /** Blocks that the store did not have, index and snapshot included, and their plain bytes. */
  readonly newBlocks: number
  readonly newBytes: number
  readonly uncaptured: Snapshot['uncaptured']
}

export interface ImportResult extends ImportCounts {
  readonly snapshot: Snapshot
  readonly snapshotCid: Cid
  readonly seconds: number
  /** The backing that the chunks lie in, when they stayed in place; absent when the store had them all. */
  readonly backingId?: number
  /** What this import found, for the next one: to be kept once the snapshot is the tree's, or else dropped. */
  readonly cache?: { keep(snapshot: Cid): Promise<void>; drop(): void }
}

/**
 * @throws MirrorError `not-found`, `refused`, `unreachable` or `unsupported` for the root; `no-space`; `aborted`.
 *   What is wrong below the root does not throw: it is in `uncaptured`.
 */
export async function importTree(
  { blocks, tempDir, clock }: { blocks: BlockStore; tempDir: string; clock: Clock },
  {
    path: source,
    tree,
    parent,
    chunker = DEFAULT_CHUNKER,
    notes = {},
    inPlace,
    workers,
    spanBytes = SPAN_BYTES,
    compression = 'none',
    signal,
    onProgress,
    ignore = [],
    statCaches,
    isDry = false,
    isPrivate = false,
    below,
  }: ImportOptions,
): Promise<ImportResult> {
  const startedMs = clock.monotonicMs()
  checkTreeName(tree)
  checkChunkerParams(chunker)
  checkIgnoreRules(ignore)
  signal?.throwIfAborted()
  const root = sourceBytes(source)
  const rootPath = printableName(root)
  const subject = { tree, root, chunker }
  // What stays in place is read each time: a cache does not say in which file a block lies.
  const caches = inPlace === undefined ? statCaches : undefined
  const known = caches?.open(subject)
  const next = isDry ? undefined : caches?.create(subject)
  const progress = createProgress(clock, onProgress)
  const broker = createBlockBroker(blocks, { isDry, isInPlace: inPlace !== undefined })
  let backing: ImportBacking | undefined
  const files: number[] = []
  const threads: Thread<unknown>[] = []

  function openFile(name: string): number {
    const fd = openUnnamedFile(tempDir, name)
    files.push(fd)
    return fd
  }

  function start<Input, Question, Answer, Result>(
    name: string,
    input: Input,
    answer: (question: Question) => Answer | Promise<Answer>,
  ): Thread<Result> {
    const thread = startThread<Input, Question, Answer, Result>(
      new URL(`./${name}-worker`, import.meta.url),
      input,
      answer,
      `import ${rootPath}, with temporary files in ${tempDir}`,
    )
    threads.push(thread)
    return thread
  }

  async function run(): Promise<BuildResult> {
    const spoolFd = openFile('spool')
    const shared = createSharedFiles()
    const plan = createImportPlan(
      { batches: openFile('batches'), results: openFile('results') },
      shared.begin,
    )
    const knownFd = known && openFile('known')
    // Before the scan: what changes from now on is too young to be trusted.
    const limits = trustLimits(root, clock.nowMs())
    let fail: (error: unknown) => void = () => undefined
    const failed = new Promise<never>((_, reject) => {
      fail = reject
    })
    // A thread may fail while the next is only being started, and nobody waits for either yet.
    failed.catch(() => undefined)

    const readers = createImportReaders(
      {
        plan,
        shared,
        broker,
        backing,
        progress,
        openFile,
        start: (input, answer) =>
          start<ReadInput, ReadQuestion, ReadAnswer, void>('read', input, answer).done,
        fail: (error) => fail(error),
      },
      {
        input: {
          root,
          spoolFd,
          spanBytes,
          chunker,
          compression,
          isPrivate,
          isInPlace: backing !== undefined,
          ...(knownFd === undefined ? {} : { knownFd }),
        },
        workers,
      },
    )
    const treeThread = start<TreeInput, TreeQuestion, TreeAnswer, BuildResult>(
      'tree',
      {
        scan: {
          root,
          spoolFd,
          tempDir,
          ignore,
          ...(known && knownFd !== undefined
            ? { known: { cacheFd: known.fd, subject, resultsFd: knownFd } }
            : {}),
        },
        build: {
          rootPath,
          ...(below === undefined ? {} : { below }),
          spoolFd,
          spillFd: openFile('spill'),
          tempDir,
          compression,
          isPrivate,
          ...(next === undefined ? {} : { cache: { fd: next.fd, subject, limits } }),
        },
      },
      async (question) => {
        switch (question.kind) {
          case 'batch':
            plan.addBatch(question.batch)
            progress.find(question.batch.files, question.batch.bytes)
            readers.onBatch(question.batch)
            return undefined
          case 'scanned':
            plan.endScan()
            return undefined
          case 'next': {
            const batch = await plan.nextToBuild()
            return batch === undefined ? { kind: 'batch' } : { kind: 'batch', batch }
          }
          default:
            return broker.answer(question)
        }
      },
    )
    const all = treeThread.done.then(async (built) => {
      await readers.ended()
      return built
    })
    return await abortable(Promise.race([all, failed]), signal)
  }

  let isCacheWhole = false
  try {
    const rootBefore = identityOf(root)
    // Said before there is a backing of it.
    if (rootBefore === undefined) {
      throw new MirrorError('not-found', `there is no ${rootPath}`, {
        hint: 'Name a directory, a file or a symbolic link. Is a disk not mounted?',
      })
    }
    if (inPlace !== undefined && !isDry)
      backing = await openImportBacking(blocks, { path: root, tree, purpose: inPlace, signal })
    const { root: rootEntry, indexKey, counts, uncaptured, cacheEnd, cacheProblem } = await run()
    if (identityOf(root) !== rootBefore) {
      throw new MirrorError('unstable', `${rootPath} was unmounted or replaced while it was read`, {
        hint: 'Nothing was published. When it is back in its place, try again.',
      })
    }
    progress.enter('finish')
    const snapshot: Snapshot = {
      tree,
      root: decodeEntry(rootEntry),
      index: cidFromKeyBytes(indexKey),
      ...(parent === undefined ? {} : { parent }),
      createdMs: clock.nowMs(),
      chunker,
      counts,
      uncaptured,
      notes,
      ...(ignore.length === 0 ? {} : { ignore }),
    }
    const block = encodeSnapshot(snapshot)
    const [isKnown] = await blocks.has([block.cid])
    if (!isDry) {
      await blocks.put([block], { verified: true })
      await blocks.flush()
    }
    const backed = await backing?.close()
    isCacheWhole = next !== undefined && cacheEnd !== undefined
    if (next !== undefined && cacheEnd === undefined) next.discard(cacheProblem)
    return {
      snapshot,
      snapshotCid: block.cid,
      files: counts.files,
      directories: counts.directories,
      symlinks: counts.symlinks,
      specials: counts.specials ?? 0,
      bytes: counts.bytes,
      blocks: counts.blocks,
      newBlocks: broker.newBlocks + (backing?.newBlocks ?? 0) + (isKnown ? 0 : 1),
      newBytes: broker.newBytes + (backing?.newBytes ?? 0) + (isKnown ? 0 : block.bytes.length),
      uncaptured,
      seconds: (clock.monotonicMs() - startedMs) / 1000,
      ...(backed === undefined ? {} : { backingId: backed.id }),
      ...(next === undefined || cacheEnd === undefined
        ? {}
        : { cache: { keep: (cid) => next.commit(cacheEnd, cid), drop: () => next.discard() } }),
    }
  } catch (error) {
    const failure = signal?.aborted
      ? new MirrorError('aborted', `import of ${rootPath}: aborted`, { cause: error })
      : asMirrorError(error, `import ${rootPath}`)
    await Promise.all(threads.map((thread) => thread.stop()))
    const left = await backing?.close()
    throw left?.isNew === true ? withWhatIsLeft(failure, left.id) : failure
  } finally {
    progress.stop()
    await Promise.all(threads.map((thread) => thread.stop()))
    await broker.close()
    for (const fd of files) fs.closeSync(fd)
    known?.close()
    if (!isCacheWhole) next?.discard()
  }
}

/** Others may rest on what was read of it meanwhile: it is not taken back. */
function withWhatIsLeft({ code, message, facts, hint, cause }: MirrorError, backing: number): MirrorError {
  const left = `What was read lies in backing ${backing}, which the next try goes on with; to let go of it: mirrormesh store drop-backing ${backing}`
  return new MirrorError(code, message, {
    facts: { ...facts, backing },
    hint: hint === undefined ? left : `${hint} ${left}`,
    cause,
  })
}

/** Undefined when nothing is there. */
function identityOf(root: Buffer): string | undefined {
  const stat = fs.lstatSync(root, { bigint: true, throwIfNoEntry: false })
  return stat && `${stat.dev}:${stat.ino}`
}
