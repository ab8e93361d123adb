/**
 * Puts a finished staging place at its destination. Readers of the destination see the old tree or the new one, whole.
 *
 * A destination that exists is exchanged (renameat2 RENAME_EXCHANGE) with the staging place, where the old tree then
 * waits for removal. A file system without that call (NFS, some FUSE) gets two renames instead: between them the
 * destination is missing, and a crash there leaves it missing until the next check-out, which puts the old tree back.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { mountsWithin } from '../../posix/mounts.ts'
import { exchange, renameNoReplace } from '../../posix/rename.ts'
import { bringOver, localMoves } from '../local/local-tree.ts'
import type { CheckoutLabel, CheckoutMarker } from '../manifest/checkout-marker.ts'
import {
  notOurs,
  readMarker,
  rootIdentity,
  stemOf,
  syncDirectory,
  writeMarker,
} from '../manifest/checkout-marker.ts'
import { joinPath, splitPath } from '../path-bytes.ts'
import type { Staging } from './staging.ts'
import { freeNameBeside } from './staging.ts'

export interface Allowed {
  /** A check-out of ours may be replaced. */
  readonly mayReplace: boolean
  /** So may an empty directory. */
  readonly mayTakeEmpty: boolean
}

/** @throws MirrorError `conflict` when something is at `dest` that may not be replaced */
export function checkDestination(dest: Buffer, { mayReplace, mayTakeEmpty }: Allowed): void {
  const existing = rootIdentity(dest)
  if (existing === undefined) return
  const { dir, name } = splitPath(dest)
  const [mount] = mountsWithin(within(fs.realpathSync(dir, { encoding: 'buffer' }), name))
  if (mount !== undefined) {
    throw notOurs(
      dest,
      mount.equals(dest) ? 'is a mount point' : `has something mounted in it: ${printableName(mount)}`,
      'A check-out is switched in as a whole: choose a folder on the mounted file system, or unmount it.',
    )
  }
  if (isOurs(dest, existing)) {
    if (mayReplace) return
    throw notOurs(dest, 'is a check-out already', 'Add --replace to put this one in its place.')
  }
  if (isEmptyDirectory(dest)) {
    if (mayTakeEmpty) return
    throw notOurs(
      dest,
      'exists already',
      'It is an empty folder: add --take-empty to put the check-out in its place.',
    )
  }
  const type = fs.lstatSync(dest)
  if (type.isSymbolicLink()) {
    throw notOurs(dest, 'is a symbolic link', 'Name the folder that it points at, or remove the link.')
  }
  throw mayReplace ? notOurs(dest, 'is not a check-out of mirrormesh') : notOurs(dest, 'exists already')
}

function within(dir: Buffer, name: Buffer): Buffer {
  return dir.length === 1 ? Buffer.concat([dir, name]) : joinPath(dir, name)
}

function isOurs(dest: Buffer, identity: string): boolean {
  return readMarker(dest)?.roots.includes(identity) === true
}

function isEmptyDirectory(dest: Buffer): boolean {
  return fs.lstatSync(dest).isDirectory() && fs.readdirSync(dest).length === 0
}

export interface SwitchOptions {
  readonly allowed: Allowed
  readonly label: CheckoutLabel | undefined
  /** What goes from the old tree into the new. */
  readonly local: readonly Buffer[]
  readonly protect: readonly string[]
  /** How long the old tree stays, and since when. */
  readonly keepOldMs: number
  readonly nowMs: number
  readonly swap?: typeof exchange
}

/** Returns where the old tree is now, or undefined when there was none. */
export function switchTo(
  staging: Staging,
  dest: Buffer,
  { allowed, label, local, protect, keepOldMs, nowMs, swap = exchange }: SwitchOptions,
): Buffer | undefined {
  checkDestination(dest, allowed)
  const { dir } = splitPath(dest)
  const before = rootIdentity(dest)
  const after = rootIdentity(staging.path)!
  const previous = readMarker(dest)
  const mark = (roots: string[], more: Partial<CheckoutMarker>): void => {
    const kept = (previous?.old ?? []).filter(({ name }) => rootIdentity(joinPath(dir, toName(name))))
    const old = [...kept, ...(more.old ?? [])]
    writeMarker(dest, staging.freeName(), {
      ...more,
      version: 1,
      roots,
      ...(protect.length > 0 ? { protect } : {}),
      ...(old.length > 0 ? { old } : {}),
    })
  }

  if (before === undefined) {
    mark([after], { ...label })
    placeNew(staging.path, dest)
    syncDirectory(dir)
    return undefined
  }
  const isEmpty = !isOurs(dest, before)
  const moves = localMoves(dest, local)
  const moving = moves.map(({ path, identity }) => ({ path: path.toString('latin1'), identity }))
  mark([before, after], { ...labelOf(previous), ...(moving.length > 0 ? { moving } : {}) })
  const old = replace(staging, dest, swap)
  if (rootIdentity(old) !== before || (isEmpty && !isEmptyDirectory(old))) {
    // Somebody put something else there since the check: it goes back where it was.
    swapOr(old, dest, staging.freeName, swap)
    throw notOurs(dest, 'was replaced while the check-out was written')
  }
  syncDirectory(dir)
  bringOver(old, dest, moves, (a, b) => swapOr(a, b, staging.freeName, swap))
  const name = splitPath(old).name.toString('latin1')
  mark([after], { ...label, ...(keepOldMs > 0 ? { old: [{ name, untilMs: nowMs + keepOldMs }] } : {}) })
  return old
}

function labelOf(marker: CheckoutMarker | undefined): Partial<CheckoutLabel> {
  const { tree, snapshot, view } = marker ?? {}
  if (tree === undefined || snapshot === undefined) return {}
  return { tree, snapshot, ...(view === undefined ? {} : { view }) }
}

function toName(name: string): Buffer {
  return Buffer.from(name, 'latin1')
}

/**
 * Ends a switch that was killed after the new tree was in its place: what is the users' own comes over. Killed between
 * two renames, the old tree goes back: it is whole, and what is the users' own lies in it.
 */
export function finishSwitch(dest: Buffer, leftovers: readonly Buffer[], swap = exchange): void {
  const marker = readMarker(dest)
  if (marker?.roots.length !== 2) return
  const [before, after] = marker.roots
  const old = leftovers.find((path) => rootIdentity(path) === before)
  const found = rootIdentity(dest)
  if (old !== undefined && found === undefined) {
    placeNew(old, dest)
    syncDirectory(splitPath(dest).dir)
  }
  if (old === undefined || found !== after || marker.moving === undefined) return
  const moves = marker.moving.map(({ path, identity }) => ({ path: toName(path), identity }))
  const freeName = (): Buffer => freeNameBeside(stemOf(dest))
  bringOver(old, dest, moves, (a, b) => swapOr(a, b, freeName, swap))
}

/** Renames to a name that is free. @throws MirrorError `conflict` when it is not */
export function placeNew(from: Buffer, dest: Buffer): void {
  try {
    renameNoReplace(from, dest)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw notOurs(dest, 'was made while the check-out was written')
    if (code !== 'EINVAL' && code !== 'ENOSYS') throw cannotSwitch(dest, error)
    if (rootIdentity(dest) !== undefined) throw notOurs(dest, 'was made while the check-out was written')
    fs.renameSync(from, dest)
  }
}

/** Returns where the old tree is. */
function replace(staging: Staging, dest: Buffer, swap: typeof exchange): Buffer {
  try {
    swap(staging.path, dest)
    return staging.path
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EINVAL' && code !== 'ENOSYS') throw cannotSwitch(dest, error)
    const old = staging.freeName()
    try {
      fs.renameSync(dest, old)
    } catch (failure) {
      throw cannotSwitch(dest, failure)
    }
    try {
      fs.renameSync(staging.path, dest)
    } catch (failure) {
      fs.renameSync(old, dest)
      throw cannotSwitch(dest, failure)
    }
    return old
  }
}

/** The two lie in one folder: only a mount on one of them, or a file system in layers, stands between. */
function cannotSwitch(dest: Buffer, error: unknown): MirrorError {
  const { code } = error as NodeJS.ErrnoException
  const what = `switch ${printableName(dest)}`
  if (code !== 'EXDEV' && code !== 'EBUSY') return asMirrorError(error, what)
  const why =
    code === 'EXDEV'
      ? 'the file system does not let a folder of it change its name, as a layered one (overlay) does'
      : 'it is in use as a mount point'
  return new MirrorError('unsupported', `${what}: ${why} (${code}). It is as it was`, {
    facts: { path: printableName(dest), errno: code },
    hint: 'Unmount what is there, or check out to a folder on another file system.',
    cause: error,
  })
}

/** Both change places; where the file system cannot do it at once, `b` is missing for an instant. */
function swapOr(a: Buffer, b: Buffer, freeName: () => Buffer, swap: typeof exchange): void {
  try {
    swap(a, b)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EINVAL' && code !== 'ENOSYS') throw error
    const between = freeName()
    fs.renameSync(b, between)
    fs.renameSync(a, b)
    fs.renameSync(between, a)
  }
}
