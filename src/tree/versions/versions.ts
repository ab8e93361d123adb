/**
 * Check-outs of several snapshots side by side: DIR/12, DIR/13, and DIR/latest that leads to one of them. Each is written
 * beside its place, is put there whole, and is not touched again; then `latest` is switched (switch-latest.ts), and only
 * then do the oldest go (version-plan.ts says which, remove-version.ts how). A reader that goes by `latest` finds the
 * one or the other, whole.
 *
 * No two versions have an inode in common: whoever writes into one changes no other. Where the file system can clone
 * files, what did not change takes no space; elsewhere each version takes what a first check-out takes.
 *
 * Killed at any instant: `latest` leads to what it led to or to the new version, and the next move clears the rest.
 */
import path from 'node:path'
import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { asMirrorError } from '../../base/errors.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { CheckoutOptions, CheckoutResult } from '../checkout/checkout.ts'
import { checkOut, checkParent } from '../checkout/checkout.ts'
import type { CheckoutStorage } from '../checkout/checkout-storage.ts'
import { canClone } from '../checkout/clone-file.ts'
import { clearLeftovers } from '../checkout/retire.ts'
import { freeNameBeside } from '../checkout/staging.ts'
import type { CheckoutLabel } from '../manifest/checkout-marker.ts'
import { notOurs, readMarker, rootIdentity, stemOf } from '../manifest/checkout-marker.ts'
import { clearFolder, removeVersion } from './remove-version.ts'
import { checkLatest, switchLatest } from './switch-latest.ts'
import type { Version } from './version-folder.ts'
import {
  latestOf,
  latestVersion,
  listVersions,
  lockFolder,
  readFolder,
  takeFolder,
  versionPath,
} from './version-folder.ts'
import type { VersionPlan } from './version-plan.ts'
import { planVersions } from './version-plan.ts'

export interface VersionsPorts {
  readonly blocks: BlockStore
  readonly clock: Clock
  readonly storage?: CheckoutStorage
}

/** Which versions stay. */
export interface KeptVersions {
  /** The newest so many, whatever else stays. */
  readonly versions: number
  /** Of printed CIDs: they stay as well. */
  readonly isTagged?: (snapshot: string) => boolean
  /** It is not to lie anywhere any more. */
  readonly isGone?: (snapshot: string) => boolean
  /** How long a version stays that would go. */
  readonly keepOldSeconds?: number
}

export interface VersionOptions
  extends Omit<CheckoutOptions, 'dest' | 'replace' | 'protect' | 'cloneFrom' | 'label' | 'keepOldSeconds'>,
    KeptVersions {
  /** The folder of versions. Made when it is missing; an empty one is taken with `takeEmpty`. */
  readonly dir: string | Uint8Array
  readonly sequence: number
  readonly label: CheckoutLabel
}

export interface PruneResult {
  /** Sequences of versions that went. */
  readonly removed: readonly number[]
  /** Versions that were to go and could not. */
  readonly staying: readonly { readonly path: string; readonly reason: string }[]
}

export interface VersionResult extends PruneResult {
  /** Undefined when the version was there already. */
  readonly checkout: CheckoutResult | undefined
  readonly path: Buffer
  /** Of all versions that are there now, newest first. */
  readonly sequences: readonly number[]
}

/** After a failure, so that a version in which something is mounted is not looked through at each turn. */
const RETRY_MS = 3_600_000

/**
 * @throws MirrorError `conflict` when the folder, a version or `latest` is not ours, `busy` when somebody else is at
 *   work there, and what `checkOut` throws
 */
export async function checkOutVersion(
  { blocks, clock, storage }: VersionsPorts,
  options: VersionOptions,
): Promise<VersionResult> {
  const { dir: given, sequence, label, versions, takeEmpty = false, ...rest } = options
  const { signal } = options
  signal?.throwIfAborted()
  const dir = folderBytes(given)
  const ports = { clock, storage }
  await checkParent(dir)
  if (rootIdentity(dir) === undefined) await clearLeftovers(dir, { clock }, signal)
  const lock = takeFolder(dir, { ...label, versions }, { mayTakeEmpty: takeEmpty })
  try {
    checkLatest(dir)
    await clearFolder(dir, ports, signal)
    const dest = versionPath(dir, sequence)
    const known = listVersions(dir).find((version) => version.sequence === sequence)
    if (known === undefined && rootIdentity(dest) !== undefined) checkVersion(dest, label.tree)
    const isThere = known?.isSettled === true && known.snapshot === label.snapshot
    let checkout: CheckoutResult | undefined
    if (isThere) await storage?.afterSwitch({ dest, old: undefined })
    else {
      const cloneFrom = findSource(dir, sequence)
      checkout = await checkOut(
        { blocks, clock, ...(storage === undefined ? {} : { storage }) },
        {
          ...rest,
          dest,
          label,
          // The same sequence of another epoch: exchanged as a check-out is.
          replace: known !== undefined,
          ...(cloneFrom === undefined ? {} : { cloneFrom }),
        },
      )
    }
    const plan = planOf(dir, options, { latest: sequence, nowMs: clock.nowMs() })
    switchLatest(dir, { ...label, sequence, versions, old: plan.waiting })
    const pruned = await remove(dir, plan, ports, signal)
    return { checkout, path: dest, ...pruned, sequences: listVersions(dir).map((each) => each.sequence) }
  } finally {
    lock.release()
  }
}

/** Whether `pruneVersions` has something to do. Reads names and markers. */
export function hasDueVersions(dir: string, kept: KeptVersions, nowMs: number): boolean {
  const folder = folderBytes(dir)
  if (readFolder(folder) === undefined) return false
  const plan = planOf(folder, kept, { nowMs })
  return plan.due.length > 0 || plan.waiting.length !== (readFolder(folder)?.old?.length ?? 0)
}

/** Removes the versions whose time is over, without a move. */
export async function pruneVersions(
  { clock, storage }: Pick<VersionsPorts, 'clock' | 'storage'>,
  { dir: given, signal, ...kept }: KeptVersions & { readonly dir: string; readonly signal?: AbortSignal },
): Promise<PruneResult> {
  const dir = folderBytes(given)
  const lock = lockFolder(dir)
  try {
    const latest = latestVersion(dir)
    // Somebody's own link may lead anywhere: nothing goes until it is ours again.
    if (latest === undefined) return { removed: [], staying: [] }
    checkLatest(dir)
    const plan = planOf(dir, kept, { nowMs: clock.nowMs() })
    rewrite(dir, plan.waiting, kept.versions)
    return await remove(dir, plan, { clock, storage }, signal)
  } finally {
    lock.release()
  }
}

function planOf(
  dir: Buffer,
  { versions, isTagged = () => false, isGone = () => false, keepOldSeconds = 0 }: KeptVersions,
  { latest, nowMs }: { latest?: number; nowMs: number },
): VersionPlan<Version> {
  const current = latestVersion(dir)?.sequence
  return planVersions({
    versions: listVersions(dir),
    latest: latest ?? current,
    before: latest === current ? undefined : current,
    keep: versions,
    isTagged,
    isGone,
    old: readFolder(dir)?.old ?? [],
    keepOldMs: keepOldSeconds * 1000,
    nowMs,
  })
}

/** Nothing that goes wrong here makes the move fail: `latest` has been switched. */
async function remove(
  dir: Buffer,
  { due, waiting }: VersionPlan<Version>,
  { clock, storage }: { clock: Clock; storage: CheckoutStorage | undefined },
  signal: AbortSignal | undefined,
): Promise<PruneResult> {
  const removed: number[] = []
  const staying: { path: string; reason: string }[] = []
  const failed: { name: string; untilMs: number }[] = []
  for (const version of due.toReversed()) {
    const { sequence, path: at } = version
    try {
      const leftAt = await removeVersion(version, { storage, signal })
      removed.push(sequence)
      if (leftAt !== undefined) staying.push({ path: leftAt, reason: 'it could not be removed' })
    } catch (error) {
      if (signal?.aborted === true) break
      const { message } = asMirrorError(error, `remove ${printableName(at)}`)
      staying.push({ path: printableName(at), reason: message })
      failed.push({ name: String(sequence), untilMs: clock.nowMs() + RETRY_MS })
    }
  }
  if (failed.length > 0) rewrite(dir, [...waiting, ...failed])
  return { removed, staying }
}

function rewrite(
  dir: Buffer,
  old: readonly { readonly name: string; readonly untilMs: number }[],
  versions?: number,
): void {
  const marker = readFolder(dir)
  const version = latestVersion(dir)
  if (marker?.tree === undefined || version === undefined) return
  const { tree, snapshot = version.snapshot } = marker
  switchLatest(dir, {
    tree,
    snapshot,
    versions: versions ?? marker.versions ?? 1,
    sequence: version.sequence,
    old,
  })
}

/** @throws MirrorError `conflict`: only a check-out of this tree is replaced */
function checkVersion(dest: Buffer, tree: string): void {
  const marker = readMarker(dest)
  const isOther = marker?.roots.includes(rootIdentity(dest)!) === true && marker.tree !== tree
  throw notOurs(dest, isOther ? `is not a version of ${tree}` : 'is not a check-out of mirrormesh')
}

/** The version that has most in common with this one, where files can be cloned. */
function findSource(dir: Buffer, sequence: number): Buffer | undefined {
  const others = listVersions(dir).filter((version) => version.sequence !== sequence && version.isSettled)
  const source = others.find((version) => version.sequence < sequence) ?? others.at(-1)
  if (source === undefined) return undefined
  const place = stemOf(latestOf(dir))
  return canClone([freeNameBeside(place), freeNameBeside(place)]) ? source.path : undefined
}

function folderBytes(dir: string | Uint8Array): Buffer {
  return Buffer.from(typeof dir === 'string' ? path.resolve(dir) : dir)
}
