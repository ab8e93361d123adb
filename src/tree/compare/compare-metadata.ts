/** What of an inode's metadata is not as its entry says: as an entry, or in words for people, empty when all is. */
import fs from 'node:fs'
import { equalBytes, printableName } from '../../base/bytes.ts'
import type { Entry } from '../../dag/entry.ts'
import { createHoleCollector } from '../../dag/holes.ts'
import { HOLE_GRAIN_BYTES } from '../../dag/limits.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import { placeXattrs } from '../../dag/xattrs.ts'
import { eachHole } from '../../posix/holes.ts'
import { reasonOf } from '../reason.ts'
import { inodeOf } from '../spool/inode.ts'
import { captureXattrs } from '../spool/xattr-records.ts'

export function metadataDifference(entry: Entry, stat: fs.BigIntStats, owner: boolean): string {
  const found = inodeOf(stat)
  const differences: string[] = []
  // The mode of a symbolic link means nothing on Linux.
  if (entry.type !== 'symlink' && found.mode !== entry.mode) {
    differences.push(`mode ${found.mode.toString(8)} instead of ${entry.mode.toString(8)}`)
  }
  if (found.mtimeSec !== entry.mtimeSec || found.mtimeNsec !== entry.mtimeNsec) {
    const show = (sec: number, nsec: number): string => `${sec}.${String(nsec).padStart(9, '0')}`
    differences.push(
      `mtime ${show(found.mtimeSec, found.mtimeNsec)} instead of ${show(entry.mtimeSec, entry.mtimeNsec)}`,
    )
  }
  if (owner && (found.uid !== entry.uid || found.gid !== entry.gid)) {
    differences.push(`owner ${found.uid}:${found.gid} instead of ${entry.uid}:${entry.gid}`)
  }
  return differences.join(', ')
}

/**
 * Both sets in order of names. Without root only what its owner may set is looked at; a label that a security module
 * has given to what had none is its own affair.
 */
export function xattrDifference(wanted: readonly Xattr[], found: readonly Xattr[], isRoot: boolean): string {
  const differences: string[] = []
  const isLookedAt = ({ name }: Xattr): boolean => isRoot || OWNERS.test(Buffer.from(name).toString('latin1'))
  for (const xattr of wanted.filter(isLookedAt)) {
    const other = found.find(({ name }) => equalBytes(name, xattr.name))
    if (other === undefined) differences.push(`${printableName(xattr.name)} is missing`)
    else if (!equalBytes(other.value, xattr.value)) differences.push(`${printableName(xattr.name)} differs`)
  }
  for (const xattr of found.filter(isLookedAt)) {
    if (wanted.some(({ name }) => equalBytes(name, xattr.name))) continue
    const name = printableName(xattr.name)
    if (!LABELS.test(name)) differences.push(`${name} is not in the snapshot`)
  }
  return differences.length === 0 ? '' : `extended attributes: ${differences.join(', ')}`
}

const OWNERS = /^(user\.|system\.posix_acl_)/
const LABELS = /^security\.(selinux|SMACK64)$/

/** Holes as a file system with blocks of `blockBytes` can have them: it takes a larger grain for no difference. */
export function hasSameHoles(
  wanted: readonly number[],
  found: readonly number[],
  sizeBytes: number,
  blockBytes: number,
): boolean {
  const grain = Math.max(HOLE_GRAIN_BYTES, blockBytes)
  const a = coarsen(wanted, sizeBytes, grain)
  const b = coarsen(found, sizeBytes, grain)
  return a.length === b.length && a.every((value, at) => value === b[at])
}

function coarsen(holes: readonly number[], sizeBytes: number, grain: number): number[] {
  const coarse: number[] = []
  for (let at = 0; at < holes.length; at += 2) {
    const start = Math.ceil(holes[at]! / grain) * grain
    const end = holes[at]! + holes[at + 1]!
    const coarseEnd = end === sizeBytes ? end : Math.floor(end / grain) * grain
    if (coarseEnd > start) coarse.push(start, coarseEnd)
  }
  return coarse
}

/**
 * The entry of what was found, with its attributes, holes and link group as a publish would record them. What is not
 * compared is as it was `before`: names of owners (their numbers decide), the mode of a symbolic link.
 */
export function withFound(
  entry: Entry,
  {
    before,
    stat,
    at,
    link,
  }: {
    readonly before: Entry
    readonly stat: fs.BigIntStats
    readonly at: Uint8Array
    readonly link: Uint8Array | undefined
  },
): Entry {
  const { user, group } = before
  const xattrs = captureXattrs(at, () => undefined)
  const metadata = {
    ...(user === undefined || before.uid !== entry.uid ? {} : { user }),
    ...(group === undefined || before.gid !== entry.gid ? {} : { group }),
    ...placeXattrs(xattrs, () => undefined),
    ...(link === undefined ? {} : { link }),
  }
  if (entry.type === 'symlink') return { ...entry, ...metadata, mode: before.mode }
  if (entry.type !== 'file') return { ...entry, ...metadata }
  const holes = findHoles(at, stat, (before.type === 'file' && before.holes) || [])
  return { ...entry, ...metadata, ...(holes.length === 0 ? {} : { holes }) }
}

/** Normalised. A file that fills its blocks is not opened; one that cannot be is as it was `before`. */
function findHoles(at: Uint8Array, stat: fs.BigIntStats, before: readonly number[]): readonly number[] {
  if (before.length === 0 && stat.blocks * 512n >= stat.size) return []
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
  try {
    const fd = fs.openSync(Buffer.from(at), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      const sizeBytes = Number(stat.size)
      const collector = createHoleCollector(sizeBytes)
      eachHole(fd, sizeBytes, collector.add)
      return collector.finish().holes
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    reasonOf(error) // only the system's own word makes it unknown
    return before
  }
}
