/** Runs the writing threads of one check-out: hands them the plan's batches, and adds up what they report. */
import fs from 'node:fs'
import os from 'node:os'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { cidFromKeyBytes } from '../../block/cid.ts'
import type { Entry } from '../../dag/entry.ts'
import type { SnapshotCounts } from '../../dag/snapshot.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { abortable } from '../abort.ts'
import type { LocalPaths } from '../local/local-paths.ts'
import type { ManifestHead, ManifestReader } from '../manifest/checkout-manifest.ts'
import { splitPath } from '../path-bytes.ts'
import type { Progress } from '../progress.ts'
import { openUnnamedFile } from '../spool/record-bytes.ts'
import type { Thread } from '../thread.ts'
import { startThread } from '../thread.ts'
import { createAheadPlaces, type StagedAhead } from './ahead-places.ts'
import type { Outstanding } from './checkout-plan.ts'
import { planCheckout } from './checkout-plan.ts'
import type {
  NotRestored,
  OwnerMode,
  WriteAnswer,
  WriteInput,
  WriteQuestion,
  WriteReport,
} from './checkout-threads.ts'
import { MAX_NOT_RESTORED_LISTED } from './checkout-threads.ts'
import { createFirstNames } from './first-names.ts'
import { planAhead } from './plan-ahead.ts'
import { createReusePlan } from './reuse-plan.ts'
import { createSyncAhead } from './sync-ahead.ts'
import type { WrittenFile } from './written-files.ts'
import { readWrittenFiles } from './written-files.ts'

const MAX_WORKERS = 4
/**
 * What one thread writes in the time that makes another one worth its start: starting it and having its code compiled
 * costs what writing 5,000 files does. On two cores, where this thread plans meanwhile, a tree of this size takes as
 * long with one as with two (measured).
 */
const FILES_A_WORKER = 40_000
const BYTES_A_WORKER = 512 * 1024 * 1024

export interface WriteTreeOptions {
  readonly root: Entry
  readonly staging: Buffer
  readonly ownerMode: OwnerMode
  readonly devices: boolean
  readonly inherits: boolean
  readonly local: LocalPaths
  /** The tree that is to be replaced, and what was written there. */
  readonly old:
    | {
        readonly dir: Buffer
        readonly manifest: ManifestReader | undefined
        /** It stays: unchanged files are cloned. */
        readonly isCloned: boolean
      }
    | undefined
  /** What is written already. */
  readonly ahead: StagedAhead | undefined
  readonly manifest: { readonly path: Buffer; readonly head: ManifestHead } | undefined
  readonly counts: SnapshotCounts | undefined
  readonly workers: number | undefined
  readonly signal: AbortSignal | undefined
  readonly progress: Progress
  /** Called when all is written and synced. */
  readonly whenWritten?:
    | ((files: Iterable<WrittenFile>, counts: Pick<Written, 'files' | 'reusedFiles'>) => Promise<void>)
    | undefined
}

export interface Written {
  readonly files: number
  readonly bytes: number
  readonly reusedFiles: number
  readonly reusedBytes: number
  readonly notRestored: NotRestored
}

export async function writeTree(blocks: BlockStore, options: WriteTreeOptions): Promise<Written> {
  const { root, staging, ownerMode, devices, inherits, local, old, ahead: staged } = options
  const { manifest, counts, workers, signal, progress } = options
  // The parent is on the same file system: the tree's root may lose its permissions.
  const { dir: beside } = splitPath(staging)
  // Opened before the first write: a descriptor may not be told of what failed before it.
  const syncFd = staged?.syncFd ?? fs.openSync(beside, 'r')
  const syncAhead = createSyncAhead(beside)
  const temporaryFds = {
    links: openUnnamedFile(os.tmpdir(), 'links'),
    pieced: openUnnamedFile(os.tmpdir(), 'pieced'),
    directories: openUnnamedFile(os.tmpdir(), 'dirs'),
    names: openUnnamedFile(os.tmpdir(), 'names'),
    contents: openUnnamedFile(os.tmpdir(), 'contents'),
    states: openUnnamedFile(os.tmpdir(), 'states'),
  }
  const firstNames = createFirstNames(os.tmpdir())
  const threads: Thread<void>[] = []
  const reuse = createReusePlan(old?.manifest)
  const total = {
    files: 0,
    bytes: 0,
    reusedFiles: 0,
    reusedBytes: 0,
    count: 0,
    first: [] as { path: string; reason: string }[],
  }
  const outstanding = createOutstanding()
  if (counts !== undefined) progress.find(counts.files, counts.bytes)
  const plan = planCheckout(
    { blocks },
    {
      root,
      staging,
      temporaryFds,
      firstNames,
      manifest,
      local,
      reuse,
      placeAhead: staged && createAheadPlaces(staged, { staging, local }),
      limits: counts && { entries: countEntries(counts), bytes: counts.bytes },
      devices,
      signal,
      outstanding,
    },
  )

  function note({ files, bytes, reusedFiles, reusedBytes, notRestored }: WriteReport): void {
    total.files += files
    total.bytes += bytes
    total.reusedFiles += reusedFiles
    total.reusedBytes += reusedBytes
    total.count += notRestored.count
    total.first.push(...notRestored.first.slice(0, MAX_NOT_RESTORED_LISTED - total.first.length))
    progress.add('write', files, bytes + reusedBytes)
    syncAhead.note(bytes)
  }

  async function answer(question: WriteQuestion): Promise<WriteAnswer> {
    if (question.kind === 'block') {
      const cid = cidFromKeyBytes(question.key)
      const bytes = await blocks.get(cid, signal)
      if (bytes !== undefined) return { kind: 'block', bytes }
      throw new MirrorError('not-found', `block ${cid.toString()} is missing`, {
        facts: { cid: cid.toString() },
      })
    }
    if (question.report !== undefined) {
      note(question.report)
      reuse.settle(question.report)
      outstanding.end()
    }
    const next = await batches.next()
    return next.done ? { kind: 'batch' } : { kind: 'batch', batch: next.value }
  }

  const input: WriteInput = {
    staging,
    ownerMode,
    devices,
    inherits,
    ...(old === undefined ? {} : { old: old.dir }),
    clones: old?.isCloned === true,
    stateFd: temporaryFds.states,
    namesFd: temporaryFds.names,
    syncFd,
  }
  const count = Math.max(1, workers ?? countWorkers(counts))
  const batches = planAhead(plan, 2 * count)
  try {
    const what = `write ${printableName(staging)}`
    for (let index = 0; index < count; index++) {
      const url = new URL('./checkout-worker', import.meta.url)
      threads.push(startThread<WriteInput, WriteQuestion, WriteAnswer, void>(url, input, answer, what))
    }
    await abortable(Promise.all(threads.map(({ done }) => done)), signal)
    await options.whenWritten?.(
      readWrittenFiles(sizedFile(temporaryFds.contents), sizedFile(temporaryFds.states)),
      total,
    )
    const { files, bytes, reusedFiles, reusedBytes, count: missing, first } = total
    return { files, bytes, reusedFiles, reusedBytes, notRestored: { count: missing, first } }
  } finally {
    await Promise.all(threads.map((thread) => thread.stop()))
    // The plan may be in the middle of a step: its files stay open until it has ended.
    outstanding.giveUp()
    await plan.return().catch(() => undefined)
    firstNames.close()
    for (const fd of Object.values(temporaryFds)) fs.closeSync(fd)
    if (syncFd !== staged?.syncFd) fs.closeSync(syncFd)
    // Whoever gives up does not wait for a slow disk: the sync under way closes what it holds.
    await abortable(syncAhead.end(), signal).catch(() => undefined)
  }
}

function sizedFile(fd: number): { fd: number; bytes: number } {
  return { fd, bytes: fs.fstatSync(fd).size }
}

function countWorkers(counts: SnapshotCounts | undefined): number {
  const most = Math.min(MAX_WORKERS, os.availableParallelism())
  if (counts === undefined) return most
  return Math.min(most, 1 + Math.floor(counts.files / FILES_A_WORKER + counts.bytes / BYTES_A_WORKER))
}

function countEntries({ files, directories, symlinks, specials = 0 }: SnapshotCounts): number {
  return files + directories + symlinks + specials
}

function createOutstanding(): Outstanding {
  let count = 0
  let isGivenUp = false
  let waiting: (() => void)[] = []
  const wake = (): void => {
    for (const resume of waiting) resume()
    waiting = []
  }
  return {
    begin: () => {
      count += 1
    },
    end() {
      count -= 1
      if (count === 0) wake()
    },
    async settled() {
      while (count > 0 && !isGivenUp) await new Promise<void>((resolve) => waiting.push(resolve))
      if (isGivenUp) throw new MirrorError('aborted', 'the check-out was given up')
    },
    giveUp() {
      isGivenUp = true
      wake()
    },
  }
}
