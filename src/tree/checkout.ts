/**
 * Check-out: a snapshot's root written as plain files, then put at its destination in one step.
 *
 * Everything is written into a private staging place beside the destination (staging.ts), every block verified
 * against its CID; then one syncfs brings data and names to the disk, and only then does the switch happen
 * (switch.ts). Killed at any instant, the destination is what it was, or the whole new tree. What the system refuses
 * to restore (owners without root, device nodes without consent, times out of range) is in `notRestored`, by path and reason.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { printableName } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import { cidFromKeyBytes } from '../block/cid.ts'
import type { Entry } from '../dag/entry.ts'
import { isSpecial } from '../dag/entry.ts'
import type { SnapshotCounts } from '../dag/snapshot.ts'
import type { BlockStore } from '../store/block-store.ts'
import { abortable } from './abort.ts'
import type { CheckoutLabel } from './checkout-marker.ts'
import type { Outstanding } from './checkout-plan.ts'
import { planCheckout } from './checkout-plan.ts'
import type { CheckoutStorage } from './checkout-storage.ts'
import type {
  NotRestored,
  OwnerMode,
  WriteAnswer,
  WriteInput,
  WriteQuestion,
  WriteReport,
} from './checkout-threads.ts'
import { MAX_NOT_RESTORED_LISTED } from './checkout-threads.ts'
import { splitPath } from './path-bytes.ts'
import type { OnProgress, Progress } from './progress.ts'
import { createProgress } from './progress.ts'
import { openUnnamedFile } from './record-bytes.ts'
import type { Staging } from './staging.ts'
import { createStaging, findLeftovers } from './staging.ts'
import { checkDestination, switchTo } from './switch.ts'
import type { Thread } from './thread.ts'
import { startThread } from './thread.ts'

const MAX_WORKERS = 4

export interface CheckoutOptions {
  /** A snapshot's root, or any entry below it. */
  readonly root: Entry
  readonly dest: string | Uint8Array
  /** Restore uid and gid (the default). Takes root: otherwise what differs is reported. */
  readonly owner?: boolean
  /** Replace what is at `dest`, if it is a check-out that carries our marker. */
  readonly replace?: boolean
  /** Make device nodes (by default they are reported): takes root, and a site that trusts the publisher with them. */
  readonly devices?: boolean
  /** What the marker beside the check-out will say. */
  readonly label?: CheckoutLabel
  /** The snapshot's: a tree that turns out larger is refused, and the disk must have room. */
  readonly counts?: SnapshotCounts
  readonly workers?: number
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

export interface CheckoutResult {
  readonly files: number
  readonly bytes: number
  readonly notRestored: NotRestored
  /** The replaced tree, when it could not be removed; the next check-out tries again. */
  readonly leftBehind?: string
}

/**
 * @throws MirrorError `conflict` when `dest` exists and is not ours to replace, `busy` when another check-out writes
 *   there, `not-found` for a missing parent directory or block, `no-space`, `unsupported`, `aborted`
 */
export async function checkOut(
  { blocks, clock, storage }: { blocks: BlockStore; clock: Clock; storage?: CheckoutStorage },
  options: CheckoutOptions,
): Promise<CheckoutResult> {
  const { root: given, replace: mayReplace = false, label, signal } = options
  signal?.throwIfAborted()
  const dest = Buffer.from(typeof options.dest === 'string' ? path.resolve(options.dest) : options.dest)
  const root: Entry = { ...given, name: new Uint8Array() }
  const progress = createProgress(clock, options.onProgress)
  let staging: Staging | undefined
  try {
    checkParent(dest)
    checkDestination(dest, mayReplace)
    for (const leftover of findLeftovers(dest)) {
      await storage?.beforeRemoval(leftover, signal)
      await removeLater(leftover)
    }
    checkSpace(dest, options.counts)
    if (isSpecial(root)) {
      throw new MirrorError('unsupported', `a ${root.type} cannot be checked out by itself`, {
        hint: 'Check out the directory that holds it.',
      })
    }
    staging = createStaging(dest, root.type)
    const written = await writeTree(blocks, staging, root, options, progress)
    signal?.throwIfAborted()
    progress.enter('finish')
    await storage?.beforeSwitch({ root, staging: staging.path, dest, label: label?.tree ?? '', signal })
    signal?.throwIfAborted()
    const old = switchTo(staging, dest, { mayReplace, label })
    // From here on the check-out is done: nothing that follows may make it fail, or remove it.
    const leftBehind = await leave(old, async () => storage?.afterSwitch({ dest, old }), storage)
    staging.release()
    return { ...written, ...(leftBehind === undefined ? {} : { leftBehind }) }
  } catch (error) {
    if (staging !== undefined) {
      staging.release()
      await leave(staging.path, async () => undefined, storage)
    }
    if (signal?.aborted)
      throw new MirrorError('aborted', `check-out to ${printableName(dest)}: aborted`, { cause: error })
    throw asMirrorError(error, `check out to ${printableName(dest)}`)
  } finally {
    progress.stop()
  }
}

async function writeTree(
  blocks: BlockStore,
  { path: staging, inherits }: Staging,
  root: Entry,
  { owner = true, devices = false, counts, workers, signal }: CheckoutOptions,
  progress: Progress,
): Promise<Omit<CheckoutResult, 'leftBehind'>> {
  const ownerMode: OwnerMode = !owner ? 'leave' : process.geteuid?.() === 0 ? 'set' : 'report'
  const temporaryFds = {
    links: openUnnamedFile(os.tmpdir(), 'links'),
    directories: openUnnamedFile(os.tmpdir(), 'dirs'),
  }
  const threads: Thread<void>[] = []
  const total = { files: 0, bytes: 0, count: 0, first: [] as { path: string; reason: string }[] }
  const outstanding = createOutstanding()
  if (counts !== undefined) progress.find(counts.files, counts.bytes)
  const plan = planCheckout(
    { blocks },
    {
      root,
      staging,
      temporaryFds,
      limits: counts && { entries: countEntries(counts), bytes: counts.bytes },
      devices,
      signal,
      outstanding,
    },
  )

  function note({ files, bytes, notRestored }: WriteReport): void {
    total.files += files
    total.bytes += bytes
    total.count += notRestored.count
    total.first.push(...notRestored.first.slice(0, MAX_NOT_RESTORED_LISTED - total.first.length))
    progress.add('write', files, bytes)
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
      outstanding.end()
    }
    const next = await plan.next()
    return next.done ? { kind: 'batch' } : { kind: 'batch', batch: next.value }
  }

  try {
    const count = Math.max(1, workers ?? Math.min(MAX_WORKERS, os.availableParallelism()))
    for (let index = 0; index < count; index++) {
      const url = new URL('./checkout-worker', import.meta.url)
      const input = { staging, ownerMode, devices, inherits }
      threads.push(startThread<WriteInput, WriteQuestion, WriteAnswer, void>(url, input, answer))
    }
    await abortable(Promise.all(threads.map(({ done }) => done)), signal)
    return { files: total.files, bytes: total.bytes, notRestored: { count: total.count, first: total.first } }
  } finally {
    await Promise.all(threads.map((thread) => thread.stop()))
    // The plan may be in the middle of a step: its files stay open until it has ended.
    outstanding.giveUp()
    await plan.return().catch(() => undefined)
    for (const fd of Object.values(temporaryFds)) fs.closeSync(fd)
  }
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

function checkParent(dest: Buffer): void {
  const { dir, name } = splitPath(dest)
  if (name.length === 0)
    throw new MirrorError('invalid', `not a place for a check-out: ${printableName(dest)}`)
  try {
    if (fs.statSync(dir).isDirectory()) return
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  throw new MirrorError('not-found', `there is no directory ${printableName(dir)}`, {
    hint: 'Create it first, or mount what belongs there: it is not made by itself, so that an unmounted disk is noticed.',
  })
}

function checkSpace(dest: Buffer, counts: SnapshotCounts | undefined): void {
  if (counts === undefined) return
  const { bavail, bsize } = fs.statfsSync(splitPath(dest).dir)
  const freeBytes = bavail * bsize
  // Hard-linked files count once on the disk but with each name in the snapshot: its blocks are the lower bound.
  const neededBytes = Math.min(counts.bytes, counts.blockBytes)
  if (neededBytes <= freeBytes) return
  throw new MirrorError(
    'no-space',
    `${printableName(dest)} needs ${neededBytes} bytes, ${freeBytes} are free`,
    {
      facts: { neededBytes, freeBytes },
    },
  )
}

async function removeLater(target: Buffer): Promise<void> {
  const thread = startThread<{ path: Uint8Array }, never, never, void>(
    new URL('./remove-worker', import.meta.url),
    { path: target },
    () => {
      throw new MirrorError('internal', 'a removal asks nothing')
    },
  )
  await thread.done
}

/** Removes a tree that is ours no more, once it holds nothing that is needed. Returns where it lies when it must stay. */
async function leave(
  target: Buffer | undefined,
  first: () => Promise<void>,
  storage: CheckoutStorage | undefined,
): Promise<string | undefined> {
  try {
    await first()
    if (target === undefined) return undefined
    await storage?.beforeRemoval(target)
    await removeLater(target)
    return undefined
  } catch {
    return target === undefined ? undefined : printableName(target)
  }
}
