/**
 * Entries of directories: what a name stands for, with the metadata that a check-out restores.
 *
 * An entry is a dag-cbor map with keys of one letter (docs/formats.md has the table). Its encoding is a function of
 * its meaning; atime, inode and the order of readdir are no part of it. The letters r, o and x are kept for device
 * numbers, holes and extended attributes, and other values of t for other types: this version refuses them as
 * `unsupported` and names the entry, since dropping what it cannot restore would be silent loss.
 */
import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { DAG_CBOR, RAW } from '../block/cid.ts'
import { CborReader } from './cbor-reader.ts'
import { CborWriter } from './cbor-writer.ts'
import { LINK_BYTES, MAX_NAME_BYTES, MAX_OWNER_BYTES, MAX_SYMLINK_BYTES } from './limits.ts'

export interface Metadata {
  /** The 12 permission bits. */
  readonly mode: number
  /** Integer, negative before 1970. */
  readonly mtimeSec: number
  /** 0 to 999,999,999, always counted forward from `mtimeSec`. */
  readonly mtimeNsec: number
  readonly uid: number
  readonly gid: number
  readonly user?: string
  readonly group?: string
}

export interface FileEntry extends Metadata {
  readonly type: 'file'
  readonly name: Uint8Array
  readonly sizeBytes: number
  /** Absent exactly when the size is 0; a raw chunk, or the dag-cbor node of a file with several chunks. */
  readonly content?: Cid
  /** Id of the hard-link group, 8 bytes. */
  readonly link?: Uint8Array
}

export interface DirectoryEntry extends Metadata {
  readonly type: 'directory'
  readonly name: Uint8Array
  readonly directory: Cid
}

export interface SymlinkEntry extends Metadata {
  readonly type: 'symlink'
  readonly name: Uint8Array
  readonly target: Uint8Array
  readonly link?: Uint8Array
}

export type Entry = FileEntry | DirectoryEntry | SymlinkEntry

const MAX_MODE = 0o7777
const MAX_ID = 0xffff_ffff
const MAX_NSEC = 999_999_999
const TYPES = { f: 'file', d: 'directory', l: 'symlink' } as const
const LETTERS = { file: 'f', directory: 'd', symlink: 'l' } as const

const GROUP = 0x47 // G
const MTIME = 0x54 // T
const USER = 0x55 // U
const CONTENT = 0x63 // c
const DIRECTORY = 0x64 // d
const GID = 0x67 // g
const LINK = 0x68 // h
const TARGET = 0x6c // l
const MODE = 0x6d // m
const NAME = 0x6e // n
const SIZE = 0x73 // s
const TYPE = 0x74 // t
const UID = 0x75 // u

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

/** The entry as canonical dag-cbor. A root's entry has the empty name. */
export function encodeEntry(entry: Entry): Uint8Array {
  const writer = new CborWriter(256)
  writeEntry(writer, entry)
  return writer.copy()
}

/** @throws MirrorError `corrupt`, `limit`, or `unsupported` for a type or attribute of a later version */
export function decodeEntry(bytes: Uint8Array): Entry {
  const reader = new CborReader(bytes, () => 'entry')
  const entry = readEntry(reader)
  reader.end()
  return entry
}

export function writeEntry(writer: CborWriter, entry: Entry): void {
  checkEntry(entry)
  const content = entry.type === 'file' ? entry.content : undefined
  const link = entry.type === 'directory' ? undefined : entry.link
  const { user, group } = entry
  const optional =
    (user === undefined ? 0 : 1) +
    (group === undefined ? 0 : 1) +
    (content === undefined ? 0 : 1) +
    (link === undefined ? 0 : 1)
  // T, g, m, n, t, u, and s, d or l.
  writer.map(7 + optional)
  if (group !== undefined) {
    writer.key(GROUP)
    writer.text(group)
  }
  writer.key(MTIME)
  writer.array(2)
  writer.int(entry.mtimeSec)
  writer.int(entry.mtimeNsec)
  if (user !== undefined) {
    writer.key(USER)
    writer.text(user)
  }
  if (content !== undefined) {
    writer.key(CONTENT)
    writer.cid(content)
  }
  if (entry.type === 'directory') {
    writer.key(DIRECTORY)
    writer.cid(entry.directory)
  }
  writer.key(GID)
  writer.int(entry.gid)
  if (link !== undefined) {
    writer.key(LINK)
    writer.bytes(link)
  }
  if (entry.type === 'symlink') {
    writer.key(TARGET)
    writer.bytes(entry.target)
  }
  writer.key(MODE)
  writer.int(entry.mode)
  writer.key(NAME)
  writer.bytes(entry.name)
  if (entry.type === 'file') {
    writer.key(SIZE)
    writer.int(entry.sizeBytes)
  }
  writer.key(TYPE)
  writer.text(LETTERS[entry.type])
  writer.key(UID)
  writer.int(entry.uid)
}

/** Fields as they are met; which of them belong together is checked at the end. */
interface Fields {
  group?: string
  mtimeSec?: number
  mtimeNsec?: number
  user?: string
  content?: Cid
  directory?: Cid
  gid?: number
  link?: Uint8Array
  target?: Uint8Array
  mode?: number
  name?: Uint8Array
  sizeBytes?: number
  type?: Entry['type']
  uid?: number
}

export function readEntry(reader: CborReader): Entry {
  const fields: Fields = {}
  let key = 0
  for (let left = reader.map(26); left > 0; left--) {
    key = reader.key(key)
    switch (key) {
      case GROUP:
        fields.group = reader.text(MAX_OWNER_BYTES)
        break
      case MTIME:
        if (reader.array(2) !== 2) throw reader.corrupt('an mtime is two numbers')
        fields.mtimeSec = reader.int()
        fields.mtimeNsec = reader.uint(MAX_NSEC)
        break
      case USER:
        fields.user = reader.text(MAX_OWNER_BYTES)
        break
      case CONTENT:
        fields.content = reader.cid()
        break
      case DIRECTORY:
        fields.directory = reader.cid()
        break
      case GID:
        fields.gid = reader.uint(MAX_ID)
        break
      case LINK:
        fields.link = reader.bytes(LINK_BYTES)
        break
      case TARGET:
        fields.target = reader.bytes(MAX_SYMLINK_BYTES)
        break
      case MODE:
        fields.mode = reader.uint(MAX_MODE)
        break
      case NAME:
        fields.name = reader.bytes(MAX_NAME_BYTES)
        break
      case SIZE:
        fields.sizeBytes = reader.uint(Number.MAX_SAFE_INTEGER)
        break
      case TYPE:
        fields.type = typeOf(reader.text(16), fields.name)
        break
      case UID:
        fields.uid = reader.uint(MAX_ID)
        break
      default:
        throw unsupported(`the attribute "${printableName(Uint8Array.of(key))}"`, fields.name)
    }
  }
  return assemble(fields, reader)
}

function typeOf(letter: string, name: Uint8Array | undefined): Entry['type'] {
  if (letter === 'f' || letter === 'd' || letter === 'l') return TYPES[letter]
  throw unsupported(`the type "${printableName(Buffer.from(letter))}"`, name)
}

function unsupported(what: string, name: Uint8Array | undefined): MirrorError {
  const printable = printableName(name ?? new Uint8Array())
  return new MirrorError(
    'unsupported',
    `entry "${printable}" has ${what}, which this version does not know`,
    {
      facts: { name: printable },
      hint: 'Upgrade this node: the snapshot was made by a newer version.',
    },
  )
}

function assemble(fields: Fields, reader: CborReader): Entry {
  const {
    type,
    name,
    mode,
    mtimeSec,
    mtimeNsec,
    uid,
    gid,
    user,
    group,
    sizeBytes,
    content,
    directory,
    link,
    target,
  } = fields
  if (
    type === undefined ||
    name === undefined ||
    mode === undefined ||
    mtimeSec === undefined ||
    mtimeNsec === undefined ||
    uid === undefined ||
    gid === undefined
  ) {
    throw reader.corrupt('an entry lacks its name, type, mode, time or owner')
  }
  if (
    (type === 'file') !== (sizeBytes !== undefined) ||
    (type === 'directory') !== (directory !== undefined) ||
    (type === 'symlink') !== (target !== undefined) ||
    (type !== 'file' && content !== undefined) ||
    (type === 'directory' && link !== undefined)
  ) {
    throw reader.corrupt(`entry "${printableName(name)}" has attributes of another type`)
  }
  // One literal for each type keeps the shapes few: readers touch millions of entries.
  const entry = { type, name, mode, mtimeSec, mtimeNsec, uid, gid } as Record<string, unknown>
  if (user !== undefined) entry.user = user
  if (group !== undefined) entry.group = group
  if (sizeBytes !== undefined) entry.sizeBytes = sizeBytes
  if (content !== undefined) entry.content = content
  if (directory !== undefined) entry.directory = directory
  if (target !== undefined) entry.target = target
  if (link !== undefined) entry.link = link
  const whole = entry as unknown as Entry
  checkEntry(whole)
  return whole
}

/** What both directions hold to. The name is checked by the directory: a root has none. */
function checkEntry(entry: Entry): void {
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
  switch (entry.type) {
    case 'file':
      if (!isWhole(entry.sizeBytes, Number.MAX_SAFE_INTEGER)) return 'the size is no whole number'
      if ((entry.content === undefined) !== (entry.sizeBytes === 0))
        return 'a file has content exactly when its size is not 0'
      if (entry.content?.code === RAW && entry.sizeBytes > MAX_BLOCK_BYTES)
        return 'a single chunk is not that large'
      return isLink(entry.link) ? undefined : `a hard-link group has an id of ${LINK_BYTES} bytes`
    case 'directory':
      return entry.directory.code === DAG_CBOR ? undefined : 'a directory is a dag-cbor node'
    case 'symlink':
      if (entry.target.length === 0 || entry.target.length > MAX_SYMLINK_BYTES || entry.target.includes(0)) {
        return `a symlink's target is 1 to ${MAX_SYMLINK_BYTES} bytes without NUL`
      }
      return isLink(entry.link) ? undefined : `a hard-link group has an id of ${LINK_BYTES} bytes`
  }
}

function isWhole(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max
}

function isLink(link: Uint8Array | undefined): boolean {
  return link === undefined || link.length === LINK_BYTES
}

function isOwner(name: string | undefined): boolean {
  if (name === undefined) return true
  if (name.length === 0 || name.length > MAX_OWNER_BYTES || !name.isWellFormed()) return false
  return name.length * 3 <= MAX_OWNER_BYTES || Buffer.byteLength(name) <= MAX_OWNER_BYTES
}
