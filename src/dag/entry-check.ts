/** What an entry must hold to, whether it is written or read. */
import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import { MAX_INLINE_BYTES } from '../block/chunker.ts'
import { DAG_CBOR, RAW } from '../block/cid.ts'
import type { Entry, FileEntry } from './entry-types.ts'
import { problemOfHoles } from './holes.ts'
import {
  LINK_BYTES,
  MAX_INLINE_XATTR_BYTES,
  MAX_NAME_BYTES,
  MAX_OWNER_BYTES,
  MAX_SYMLINK_BYTES,
} from './limits.ts'
import { problemOfXattrs, xattrsLength } from './xattrs.ts'

export const MAX_MODE = 0o7777
/** Of owners and of device numbers. */
export const MAX_ID = 0xffff_ffff
export const MAX_NSEC = 999_999_999

/** @throws MirrorError `corrupt` for '', '.', '..', a slash, NUL, or more than 255 bytes */
export function checkName(name: Uint8Array): void {
  const { length } = name
  let isBad =
    length === 0 ||
    length > MAX_NAME_BYTES ||
    (name[0] === 0x2e && (length === 1 || (length === 2 && name[1] === 0x2e)))
  for (let i = 0; i < length && !isBad; i++) {
    if (name[i] === 0x2f || name[i] === 0) isBad = true
  }
  if (isBad) {
    throw new MirrorError(
      'corrupt',
      `"${printableName(name.subarray(0, 256))}" cannot be the name of an entry`,
    )
  }
}

/** The name is checked by the directory: a root has none. @throws MirrorError `corrupt` */
export function checkEntry(entry: Entry): void {
  const problem = problemOf(entry)
  if (problem !== undefined) {
    throw new MirrorError('corrupt', `entry "${printableName(entry.name.subarray(0, 256))}": ${problem}`)
  }
}

function problemOf(entry: Entry): string | undefined {
  if (entry.name.length !== 0) checkName(entry.name)
  if (!isWhole(entry.mode, MAX_MODE)) return 'the mode is not 12 permission bits'
  if (!Number.isSafeInteger(entry.mtimeSec) || !isWhole(entry.mtimeNsec, MAX_NSEC))
    return 'the mtime is no time'
  if (!isWhole(entry.uid, MAX_ID) || !isWhole(entry.gid, MAX_ID)) return 'an owner is not 32 bits'
  if (!isOwner(entry.user) || !isOwner(entry.group))
    return `an owner's name is not 1 to ${MAX_OWNER_BYTES} bytes of text`
  if (entry.xattrs !== undefined || entry.xattrBlock !== undefined) {
    const problem = problemOfPlacedXattrs(entry)
    if (problem !== undefined) return problem
  }
  return entry.type === 'directory' ? problemOfType(entry) : (problemOfLink(entry) ?? problemOfType(entry))
}

function problemOfPlacedXattrs({ xattrs, xattrBlock }: Entry): string | undefined {
  if (xattrs === undefined) {
    return xattrBlock?.code === DAG_CBOR ? undefined : 'extended attributes lie in a dag-cbor node'
  }
  if (xattrBlock !== undefined) return 'extended attributes lie in the entry or in a block, not in both'
  const problem = problemOfXattrs(xattrs)
  if (problem !== undefined) return problem
  return xattrsLength(xattrs) <= MAX_INLINE_XATTR_BYTES
    ? undefined
    : `extended attributes of over ${MAX_INLINE_XATTR_BYTES} bytes lie in a block of their own`
}

function problemOfLink({ link }: Exclude<Entry, { type: 'directory' }>): string | undefined {
  return link === undefined || link.length === LINK_BYTES
    ? undefined
    : `a hard-link group has an id of ${LINK_BYTES} bytes`
}

function problemOfType(entry: Entry): string | undefined {
  switch (entry.type) {
    case 'file':
      if (!isWhole(entry.sizeBytes, Number.MAX_SAFE_INTEGER)) return 'the size is no whole number'
      if ((entry.content === undefined) !== (entry.sizeBytes === 0))
        return 'a file has content exactly when its size is not 0'
      if (entry.content?.code === RAW && entry.sizeBytes > MAX_BLOCK_BYTES)
        return 'a single chunk is not that large'
      if (entry.inline !== undefined) {
        const problem = problemOfInline(entry, entry.inline)
        if (problem !== undefined) return problem
      }
      return entry.holes === undefined ? undefined : problemOfHoles(entry.holes, entry.sizeBytes)
    case 'directory':
      return entry.directory.code === DAG_CBOR ? undefined : 'a directory is a dag-cbor node'
    case 'symlink':
      return entry.target.length === 0 || entry.target.length > MAX_SYMLINK_BYTES || entry.target.includes(0)
        ? `a symlink's target is 1 to ${MAX_SYMLINK_BYTES} bytes without NUL`
        : undefined
    case 'block-device':
    case 'character-device':
      return isWhole(entry.major, MAX_ID) && isWhole(entry.minor, MAX_ID)
        ? undefined
        : 'a device number is not 32 bits'
    case 'fifo':
    case 'socket':
      return undefined
  }
}

function problemOfInline({ sizeBytes, content, holes }: FileEntry, inline: Uint8Array): string | undefined {
  if (sizeBytes > MAX_INLINE_BYTES || inline.length !== sizeBytes || content?.code !== RAW)
    return `content in an entry is 1 to ${MAX_INLINE_BYTES} bytes, as many as the file has`
  return holes === undefined ? undefined : 'a file with holes has its content in blocks'
}

function isWhole(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max
}

function isOwner(name: string | undefined): boolean {
  if (name === undefined) return true
  if (name.length === 0 || name.length > MAX_OWNER_BYTES || !name.isWellFormed()) return false
  return name.length * 3 <= MAX_OWNER_BYTES || Buffer.byteLength(name) <= MAX_OWNER_BYTES
}
