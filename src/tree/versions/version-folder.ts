/**
 * A folder of versions: whole check-outs of one tree side by side, each named by its sequence, and `latest`, a relative
 * symbolic link to one of them. Everything else in it is hidden: what lies beside each check-out (checkout-marker.ts),
 * and the same beside `latest`, whose marker says that the folder is ours, of which tree it is, and how many stay.
 *
 * Whoever changes a folder holds a lock on it that dies with the process.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { tryLock } from '../../posix/lock.ts'
import { removeTree } from '../checkout/remove-tree.ts'
import { freeNameBeside } from '../checkout/staging.ts'
import { placeNew } from '../checkout/switch.ts'
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

/** What the folder's check-outs are of, and how many of the newest stay. */
export interface FolderTerms extends CheckoutLabel {
  readonly versions: number
}

export interface Version {
  readonly sequence: number
  readonly path: Buffer
  /** CID. */
  readonly snapshot: string
  /** It was not being replaced when somebody was killed. */
  readonly isSettled: boolean
}

export interface FolderLock {
  release(): void
}

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants
const FOLDER_MODE = 0o755

export function latestOf(dir: Buffer): Buffer {
  return joinPath(dir, Buffer.from('latest'))
}

export function versionPath(dir: Buffer, sequence: number): Buffer {
  return joinPath(dir, Buffer.from(String(sequence)))
}

/** A name as a sequence is written; undefined for any other. */
export function sequenceOf(name: string): number | undefined {
  const sequence = /^[1-9][0-9]{0,15}$/.test(name) ? Number(name) : undefined
  return sequence !== undefined && Number.isSafeInteger(sequence) ? sequence : undefined
}

/** The marker of a folder of ours; undefined for anything else. */
export function readFolder(dir: Buffer): CheckoutMarker | undefined {
  const identity = rootIdentity(dir)
  if (identity === undefined || !fs.lstatSync(dir).isDirectory()) return undefined
  const marker = readMarker(latestOf(dir))
  return marker?.folder === identity ? marker : undefined
}

/** The check-outs of the folder's tree in it that are ours, newest first. */
export function listVersions(dir: Buffer): Version[] {
  const folder = readFolder(dir)
  if (folder === undefined) return []
  return fs
    .readdirSync(dir, { encoding: 'latin1' })
    .flatMap((name): Version[] => {
      const sequence = sequenceOf(name)
      if (sequence === undefined) return []
      const version = versionAt(dir, sequence, folder)
      return version === undefined ? [] : [version]
    })
    .toSorted((a, b) => b.sequence - a.sequence)
}

function versionAt(dir: Buffer, sequence: number, { tree }: CheckoutMarker): Version | undefined {
  const path = versionPath(dir, sequence)
  const identity = rootIdentity(path)
  const marker = identity === undefined ? undefined : readMarker(path)
  if (marker?.roots.includes(identity!) !== true || marker.tree !== tree || marker.snapshot === undefined)
    return undefined
  return { sequence, path, snapshot: marker.snapshot, isSettled: marker.roots.length === 1 }
}

/** Where `latest` leads, while it is a link that we made and that is a version of ours. */
export function latestVersion(dir: Buffer): Version | undefined {
  const folder = readFolder(dir)
  const latest = latestOf(dir)
  const identity = rootIdentity(latest)
  if (folder === undefined || identity === undefined || !folder.roots.includes(identity)) return undefined
  const sequence = sequenceOf(fs.readlinkSync(latest, 'latin1'))
  return sequence === undefined ? undefined : versionAt(dir, sequence, folder)
}

/** The snapshot that lies at `latest`: undefined also for what a kill left unfinished, which is made again. */
export function checkedOutVersion(dir: Buffer, tree: string): string | undefined {
  const folder = readFolder(dir)
  if (folder?.tree !== tree || folder.roots.length !== 1) return undefined
  const version = latestVersion(dir)
  return version?.isSettled === true && version.snapshot === folder.snapshot ? version.snapshot : undefined
}

/**
 * Makes the folder, or makes sure that it is one of ours and of this tree.
 *
 * @throws MirrorError `conflict` when something else is there, `busy` when somebody else changes it
 */
export function takeFolder(
  dir: Buffer,
  terms: FolderTerms,
  { mayTakeEmpty }: { readonly mayTakeEmpty: boolean },
): FolderLock {
  const identity = rootIdentity(dir)
  if (identity === undefined) return makeFolder(dir, terms)
  const stat = fs.lstatSync(dir)
  if (stat.isSymbolicLink()) {
    throw notOurs(dir, 'is a symbolic link', 'Name the folder that it points at, or remove the link.')
  }
  if (!stat.isDirectory()) throw notOurs(dir, 'exists already')
  const lock = lockFolder(dir)
  try {
    const folder = readFolder(dir)
    if (folder !== undefined) {
      if (folder.tree === terms.tree) return lock
      throw notOurs(dir, `holds versions of ${folder.tree}`, 'Choose another folder, or move this one away.')
    }
    if (readMarker(dir)?.roots.includes(identity) === true) {
      throw notOurs(
        dir,
        'is a check-out of one snapshot, not a folder of versions',
        'Choose another folder, or move this one away: its files are not taken over.',
      )
    }
    if (!isEmpty(dir)) throw notOurs(dir, 'is not a folder of versions that mirrormesh made')
    if (!mayTakeEmpty) {
      throw notOurs(
        dir,
        'exists already',
        'It is an empty folder: mirrormesh checkout TREE DIR --versions N --take-empty makes versions in it.',
      )
    }
    writeTerms(dir, terms, identity)
    return lock
  } catch (error) {
    lock.release()
    throw error
  }
}

/** @throws MirrorError `busy` when somebody else changes the folder */
export function lockFolder(dir: Buffer): FolderLock {
  const fd = fs.openSync(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  if (tryLock(fd)) return { release: () => fs.closeSync(fd) }
  fs.closeSync(fd)
  throw new MirrorError('busy', `another check-out to ${printableName(dir)} is in progress`, {
    hint: 'Wait for it to end, then try again.',
  })
}

/** Made beside its place with its marker in it: killed at any instant, it is not there or it is ours. */
function makeFolder(dir: Buffer, terms: FolderTerms): FolderLock {
  const made = freeNameBeside(stemOf(dir))
  fs.mkdirSync(made, { mode: FOLDER_MODE })
  const lock = lockFolder(made)
  try {
    const { mode } = fs.lstatSync(made)
    // Whatever the umask: those who mount it or serve it are others.
    fs.chmodSync(made, (mode & 0o7777) | FOLDER_MODE)
    writeTerms(made, terms, rootIdentity(made)!)
    placeNew(made, dir)
    syncDirectory(splitPath(dir).dir)
    return lock
  } catch (error) {
    lock.release()
    removeTree(made)
    throw error
  }
}

function writeTerms(dir: Buffer, terms: FolderTerms, identity: string): void {
  const latest = latestOf(dir)
  writeMarker(latest, freeNameBeside(stemOf(latest)), { ...terms, version: 1, roots: [], folder: identity })
}

/** What a kill left of a marker that was to be written does not count. */
function isEmpty(dir: Buffer): boolean {
  return fs
    .readdirSync(dir, { encoding: 'latin1' })
    .every((name) => /^\.latest\.mirrormesh-[0-9a-f]{16}$/.test(name))
}
