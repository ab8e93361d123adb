/**
 * Check-out: a snapshot's root written as plain files, then put at its destination in one step.
 *
 * Everything is written into a private staging place beside the destination (staging.ts), every block verified
 * against its CID; files of the check-out that is replaced which are still what was written there are taken over as they
 * are (reuse-plan.ts). Then one syncfs brings data and names to the disk, and only then does the switch happen
 * (switch.ts). Killed at any instant, the destination is what it was, or the whole new tree. What the system refuses
 * to restore (owners without root, device nodes without consent, times out of range) is in `notRestored`, by path and reason.
 */
import fs from 'node:fs'
import path from 'node:path'
import { formatBytes } from '../../base/byte-size.ts'
import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Entry } from '../../dag/entry.ts'
import { isSpecial } from '../../dag/entry.ts'
import type { SnapshotCounts } from '../../dag/snapshot.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { LocalFindings } from '../local/find-local.ts'
import { checkProtect, findLocal } from '../local/find-local.ts'
import { openManifest } from '../manifest/checkout-manifest.ts'
import type { CheckoutLabel } from '../manifest/checkout-marker.ts'
import { manifestPath, readMarker, removeManifests, rootIdentity } from '../manifest/checkout-marker.ts'
import { splitPath } from '../path-bytes.ts'
import type { OnProgress } from '../progress.ts'
import { createProgress } from '../progress.ts'
import type { StagedAhead } from './ahead-places.ts'
import type { CheckoutStorage } from './checkout-storage.ts'
import type { NotRestored, OwnerMode } from './checkout-threads.ts'
import type { Written } from './checkout-writers.ts'
import { writeTree } from './checkout-writers.ts'
import { clearLeftovers, tryRetire } from './retire.ts'
import type { Staging } from './staging.ts'
import { createStaging } from './staging.ts'
import { checkDestination, switchTo } from './switch.ts'

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
  /** Replace an empty directory at `dest`. */
  readonly takeEmpty?: boolean
  /** Paths below `dest` that stay as they are, now and at later moves. Absent: those of the check-out before. */
  readonly protect?: readonly string[]
  /** How long the replaced tree stays beside the new one, for readers that still have files of it open over a network. */
  readonly keepOldSeconds?: number
  /** Another check-out, of which unchanged files are cloned: on a file system with reflinks they take no space. */
  readonly cloneFrom?: Uint8Array
  /** Files that were written while the snapshot was on its way. What is left of them afterwards is its owner's. */
  readonly ahead?: StagedAhead | undefined
  /** What the marker beside the check-out will say. */
  readonly label?: CheckoutLabel
  /** The snapshot's: a tree that turns out larger is refused, and the disk must have room. */
  readonly counts?: SnapshotCounts
  readonly workers?: number
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

export interface CheckoutResult extends LocalFindings {
  /** All files of the check-out. */
  readonly files: number
  /** Written. */
  readonly bytes: number
  /** Taken over from the check-out before, or cloned, unread. */
  readonly reusedFiles: number
  readonly reusedBytes: number
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
  const { root: given, label, keepOldSeconds = 0, ahead, signal } = options
  signal?.throwIfAborted()
  const dest = Buffer.from(typeof options.dest === 'string' ? path.resolve(options.dest) : options.dest)
  const root: Entry = { ...given, name: new Uint8Array() }
  const allowed = { mayReplace: options.replace ?? false, mayTakeEmpty: options.takeEmpty ?? false }
  const progress = createProgress(clock, options.onProgress)
  let staging: Staging | undefined
  let manifestAt: Buffer | undefined
  let finished: string | undefined
  try {
    await checkParent(dest)
    checkDestination(dest, allowed)
    await clearLeftovers(dest, { clock, storage, except: ahead?.place }, signal)
    if (isSpecial(root)) {
      throw new MirrorError('unsupported', `a ${root.type} cannot be checked out by itself`, {
        hint: 'Check out the directory that holds it.',
      })
    }
    const protect = checkProtect(options.protect ?? readMarker(dest)?.protect ?? [])
    const old = root.type === 'directory' ? currentTree(dest) : undefined
    const findings = await findLocal(blocks, { root, old, protect, signal })
    const source = old ?? (options.cloneFrom && currentTree(Buffer.from(options.cloneFrom)))
    if (!findings.hasManifest && source === undefined) await checkSpace(dest, options.counts, ahead?.bytes)
    signal?.throwIfAborted()

    staging = createStaging(dest, root.type)
    const place = staging.path
    const ownerMode: OwnerMode =
      options.owner === false ? 'leave' : process.geteuid?.() === 0 ? 'set' : 'report'
    const self = { ownerMode, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
    const identity = rootIdentity(staging.path)
    if (identity !== undefined && root.type === 'directory') manifestAt = staging.freeName()
    const manifest = manifestAt && { path: manifestAt, head: { root: identity!, ...self } }
    const before = source && openManifest(source.manifest, source.root)
    const isSameWriter =
      before?.head.ownerMode === ownerMode && before.head.uid === self.uid && before.head.gid === self.gid
    let written: Written
    try {
      written = await writeTree(blocks, {
        root,
        staging: staging.path,
        ownerMode,
        devices: options.devices ?? false,
        inherits: staging.inherits,
        local: findings.local,
        old: source && {
          dir: source.dir,
          manifest: isSameWriter ? before : undefined,
          isCloned: old === undefined,
        },
        ahead,
        manifest,
        counts: options.counts,
        workers: options.workers,
        signal,
        progress,
        async whenWritten(files, { files: all, reusedFiles }) {
          signal?.throwIfAborted()
          progress.enter('finish')
          const isUpdate = old !== undefined && 2 * reusedFiles >= all
          const isLocal = findings.local.covers
          const tree = { root, staging: place, dest, files, isUpdate, isLocal, label: label?.tree ?? '' }
          await storage?.beforeSwitch({ ...tree, signal })
        },
      })
    } finally {
      before?.close()
    }
    signal?.throwIfAborted()
    if (manifestAt !== undefined) {
      const place = manifestPath(dest, identity!)
      fs.renameSync(manifestAt, place)
      manifestAt = place
    }
    finished = rootIdentity(staging.path)
    const replaced = switchTo(staging, dest, {
      allowed,
      label,
      local: findings.local.paths,
      protect,
      keepOldMs: keepOldSeconds * 1000,
      nowMs: clock.nowMs(),
    })
    // From here on the check-out is done: nothing that follows may make it fail, or remove it.
    manifestAt = undefined
    const leftBehind = await leave(replaced, { dest, isKept: keepOldSeconds > 0, storage })
    staging.release()
    removeOldManifests(dest)
    return {
      ...written,
      ...findings.summary(),
      ...(leftBehind === undefined ? {} : { leftBehind }),
    }
  } catch (error) {
    // Failed after the switch, the old tree lies there: with what is still to come over, at the next check-out.
    const isOurs =
      staging !== undefined && (finished === undefined || rootIdentity(staging.path) === finished)
    if (staging !== undefined) {
      staging.release()
      if (isOurs) await tryRetire(staging.path, dest, storage)
      if (isOurs && manifestAt !== undefined) fs.rmSync(manifestAt, { force: true })
    }
    if (signal?.aborted)
      throw new MirrorError('aborted', `check-out to ${printableName(dest)}: aborted`, { cause: error })
    const failure = asMirrorError(error, `check out to ${printableName(dest)}`)
    throw failure.code === 'no-space' && isOurs ? await filledDisk(dest, failure) : failure
  } finally {
    progress.stop()
  }
}

/** Lets go of the replaced tree, unless it is to stay for a while. Returns where it lies when it could not be removed. */
async function leave(
  old: Buffer | undefined,
  { dest, isKept, storage }: { dest: Buffer; isKept: boolean; storage: CheckoutStorage | undefined },
): Promise<string | undefined> {
  try {
    await storage?.afterSwitch({ dest, old })
  } catch {
    // What names both places goes on doing so: the next check-out finds out where each tree is.
    return old === undefined || isKept ? undefined : printableName(old)
  }
  return old === undefined || isKept ? undefined : tryRetire(old, dest, storage)
}

/** The check-out that is at `dest`, if it is a whole one of ours. */
export function currentTree(dest: Buffer): { dir: Buffer; root: string; manifest: Buffer } | undefined {
  const root = rootIdentity(dest)
  if (root === undefined || readMarker(dest)?.roots.includes(root) !== true) return undefined
  if (!fs.lstatSync(dest).isDirectory()) return undefined
  return { dir: dest, root, manifest: manifestPath(dest, root) }
}

function removeOldManifests(dest: Buffer): void {
  const root = rootIdentity(dest)
  const current = root === undefined ? undefined : splitPath(manifestPath(dest, root)).name
  try {
    removeManifests(dest, (name) => current?.equals(name) === true)
  } catch {
    // The next check-out tries again.
  }
}

export async function checkParent(dest: Buffer): Promise<void> {
  const { dir, name } = splitPath(dest)
  if (name.length === 0)
    throw new MirrorError('invalid', `not a place for a check-out: ${printableName(dest)}`)
  try {
    if ((await fs.promises.stat(dir)).isDirectory()) return
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  throw new MirrorError('not-found', `there is no directory ${printableName(dir)}`, {
    hint: 'Create it first, or mount what belongs there: it is not made by itself, so that an unmounted disk is noticed.',
  })
}

/** Said of a disk that was full in the middle of it, when what had been written is gone again. */
async function filledDisk(dest: Buffer, cause: MirrorError): Promise<MirrorError> {
  const { bavail, bsize } = await fs.promises.statfs(splitPath(dest).dir)
  const freeBytes = bavail * bsize
  return new MirrorError(
    'no-space',
    `what changes at ${printableName(dest)} needs more than the ${formatBytes(freeBytes)} that are free`,
    { facts: { freeBytes }, hint: 'Free some space there; what was there before is as it was.', cause },
  )
}

/** Of a first check-out: how much an update will write is not known before. */
async function checkSpace(dest: Buffer, counts: SnapshotCounts | undefined, aheadBytes = 0): Promise<void> {
  if (counts === undefined) return
  const { bavail, bsize } = await fs.promises.statfs(splitPath(dest).dir)
  const freeBytes = bavail * bsize
  // Hard-linked files count once on the disk but with each name in the snapshot: its blocks are the lower bound.
  const neededBytes = Math.min(counts.bytes, counts.blockBytes) - aheadBytes
  if (neededBytes <= freeBytes) return
  throw new MirrorError(
    'no-space',
    `${printableName(dest)} needs ${formatBytes(neededBytes)}, ${formatBytes(freeBytes)} are free`,
    {
      facts: { neededBytes, freeBytes },
    },
  )
}
