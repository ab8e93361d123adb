/**
 * Puts a finished staging place at its destination. Readers of the destination see the old tree or the new one, whole.
 *
 * A destination that exists is exchanged (renameat2 RENAME_EXCHANGE) with the staging place, where the old tree then
 * waits for removal. A file system without that call (NFS, some FUSE) gets two renames instead: between them the
 * destination is missing, and a crash there leaves it missing until the next check-out.
 */
import fs from 'node:fs'
import { exchange, renameNoReplace } from '../posix/rename.ts'
import type { CheckoutLabel } from './checkout-marker.ts'
import { notOurs, readMarker, rootIdentity, syncDirectory, writeMarker } from './checkout-marker.ts'
import { splitPath } from './path-bytes.ts'
import type { Staging } from './staging.ts'

/** @throws MirrorError `conflict` when something is at `dest` that may not be replaced */
export function checkDestination(dest: Buffer, mayReplace: boolean): void {
  const existing = rootIdentity(dest)
  if (existing === undefined) return
  if (!mayReplace) {
    throw isOurs(dest, existing)
      ? notOurs(dest, 'is a check-out already', 'Add --replace to put this one in its place.')
      : notOurs(dest, 'exists already')
  }
  if (!isOurs(dest, existing)) throw notOurs(dest, 'is not a check-out of mirrormesh')
}

function isOurs(dest: Buffer, identity: string): boolean {
  return readMarker(dest)?.roots.includes(identity) === true
}

/** Returns where the old tree is now, or undefined when there was none. */
export function switchTo(
  staging: Staging,
  dest: Buffer,
  { mayReplace, label }: { mayReplace: boolean; label: CheckoutLabel | undefined },
): Buffer | undefined {
  checkDestination(dest, mayReplace)
  const { dir } = splitPath(dest)
  const before = rootIdentity(dest)
  const after = rootIdentity(staging.path)!
  const mark = (marked: CheckoutLabel | undefined, roots: string[]): void => {
    const labels = marked === undefined ? {} : { tree: marked.tree, snapshot: marked.snapshot }
    writeMarker(dest, staging.freeName(), { version: 1, ...labels, roots })
  }

  if (before === undefined) {
    mark(label, [after])
    placeNew(staging.path, dest)
    syncDirectory(dir)
    return undefined
  }
  const previous = readMarker(dest)
  mark(isLabelled(previous) ? previous : undefined, [before, after])
  const old = replace(staging, dest)
  if (rootIdentity(old) !== before) {
    // Somebody put something else there since the check: it goes back where it was.
    exchange(old, dest)
    throw notOurs(dest, 'was replaced while the check-out was written')
  }
  syncDirectory(dir)
  mark(label, [after])
  return old
}

function isLabelled(marker: Partial<CheckoutLabel> | undefined): marker is CheckoutLabel {
  return marker?.tree !== undefined && marker.snapshot !== undefined
}

function placeNew(from: Buffer, dest: Buffer): void {
  try {
    renameNoReplace(from, dest)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw notOurs(dest, 'was made while the check-out was written')
    if (code !== 'EINVAL' && code !== 'ENOSYS') throw error
    if (rootIdentity(dest) !== undefined) throw notOurs(dest, 'was made while the check-out was written')
    fs.renameSync(from, dest)
  }
}

function replace(staging: Staging, dest: Buffer): Buffer {
  try {
    exchange(staging.path, dest)
    return staging.path
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EINVAL' && code !== 'ENOSYS') throw error
    const old = staging.freeName()
    fs.renameSync(dest, old)
    fs.renameSync(staging.path, dest)
    return old
  }
}
