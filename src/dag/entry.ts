/**
 * Entries of directories: what a name stands for, with the metadata that a check-out restores.
 *
 * An entry is a dag-cbor map with keys of one letter (docs/formats.md has the table). Its encoding is a function of
 * its meaning; atime, inode and the order of readdir are no part of it. An unknown key or type is refused as
 * `unsupported` and the entry is named, since dropping what this version cannot restore would be silent loss.
 */
import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { MAX_INLINE_BYTES } from '../block/chunker.ts'
import type { Cid } from '../block/cid.ts'
import { cidOf, RAW } from '../block/cid.ts'
import { CborReader } from './cbor-reader.ts'
import { CborWriter } from './cbor-writer.ts'
import { checkEntry, MAX_ID, MAX_MODE, MAX_NSEC } from './entry-check.ts'
import type { Entry } from './entry-types.ts'
import { isDevice } from './entry-types.ts'
import { LINK_BYTES, MAX_HOLES, MAX_NAME_BYTES, MAX_OWNER_BYTES, MAX_SYMLINK_BYTES } from './limits.ts'
import type { Xattr } from './xattrs.ts'
import { readXattrs, writeXattrs } from './xattrs.ts'

export { checkName } from './entry-check.ts'
export type {
  DeviceEntry,
  DirectoryEntry,
  Entry,
  FileEntry,
  LinkableEntry,
  Metadata,
  SpecialEntry,
  SymlinkEntry,
} from './entry-types.ts'
export { isDevice, isSpecial } from './entry-types.ts'

const LETTERS = {
  file: 'f',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  'block-device': 'b',
  'character-device': 'c',
} as const
const TYPES: ReadonlyMap<string, Entry['type']> = new Map(
  Object.entries(LETTERS).map(([type, letter]) => [letter, type as Entry['type']]),
)

const GROUP = 0x47 // G
const MTIME = 0x54 // T
const USER = 0x55 // U
const XATTR_BLOCK = 0x58 // X
const INLINE = 0x62 // b
const CONTENT = 0x63 // c
const DIRECTORY = 0x64 // d
const GID = 0x67 // g
const LINK = 0x68 // h
const TARGET = 0x6c // l
const MODE = 0x6d // m
const NAME = 0x6e // n
const HOLES = 0x6f // o
const DEVICE = 0x72 // r
const SIZE = 0x73 // s
const TYPE = 0x74 // t
const UID = 0x75 // u
const XATTRS = 0x78 // x

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
  const inline = entry.type === 'file' ? entry.inline : undefined
  const content = entry.type === 'file' && inline === undefined ? entry.content : undefined
  const link = entry.type === 'directory' ? undefined : entry.link
  const holes = entry.type === 'file' ? entry.holes : undefined
  const { user, group, xattrs, xattrBlock } = entry
  const optional =
    (user === undefined ? 0 : 1) +
    (group === undefined ? 0 : 1) +
    (content === undefined && inline === undefined ? 0 : 1) +
    (link === undefined ? 0 : 1) +
    (holes === undefined ? 0 : 1) +
    (xattrs === undefined ? 0 : 1) +
    (xattrBlock === undefined ? 0 : 1) +
    (entry.type === 'fifo' || entry.type === 'socket' ? 0 : 1)
  // T, g, m, n, t, u; and s, d, l or r.
  writer.map(6 + optional)
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
  if (xattrBlock !== undefined) {
    writer.key(XATTR_BLOCK)
    writer.cid(xattrBlock)
  }
  if (inline !== undefined) {
    writer.key(INLINE)
    writer.bytes(inline)
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
  if (holes !== undefined) {
    writer.key(HOLES)
    writer.array(holes.length)
    for (const value of holes) writer.int(value)
  }
  if (isDevice(entry)) {
    writer.key(DEVICE)
    writer.array(2)
    writer.int(entry.major)
    writer.int(entry.minor)
  }
  if (entry.type === 'file') {
    writer.key(SIZE)
    writer.int(entry.sizeBytes)
  }
  writer.key(TYPE)
  writer.text(LETTERS[entry.type])
  writer.key(UID)
  writer.int(entry.uid)
  if (xattrs !== undefined) {
    writer.key(XATTRS)
    writeXattrs(writer, xattrs)
  }
}

/** Fields as they are met; which of them belong together is checked at the end. */
interface Fields {
  group?: string
  mtimeSec?: number
  mtimeNsec?: number
  user?: string
  content?: Cid
  inline?: Uint8Array
  directory?: Cid
  gid?: number
  link?: Uint8Array
  target?: Uint8Array
  mode?: number
  name?: Uint8Array
  sizeBytes?: number
  type?: Entry['type']
  uid?: number
  holes?: number[]
  major?: number
  minor?: number
  xattrs?: Xattr[]
  xattrBlock?: Cid
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
      case INLINE:
        fields.inline = reader.bytes(MAX_INLINE_BYTES)
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
      case XATTR_BLOCK:
        fields.xattrBlock = reader.cid()
        break
      case HOLES:
        fields.holes = []
        for (let values = reader.array(2 * MAX_HOLES); values > 0; values--) {
          fields.holes.push(reader.uint(Number.MAX_SAFE_INTEGER))
        }
        break
      case DEVICE:
        if (reader.array(2) !== 2) throw reader.corrupt('a device has two numbers')
        fields.major = reader.uint(MAX_ID)
        fields.minor = reader.uint(MAX_ID)
        break
      case XATTRS:
        fields.xattrs = readXattrs(reader)
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
  const type = TYPES.get(letter)
  if (type !== undefined) return type
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
    inline,
    directory,
    link,
    target,
    holes,
    major,
    minor,
    xattrs,
    xattrBlock,
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
    (type !== 'file' && (content !== undefined || inline !== undefined || holes !== undefined)) ||
    (content !== undefined && inline !== undefined) ||
    (type === 'block-device' || type === 'character-device') !== (major !== undefined) ||
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
  if (inline !== undefined) {
    entry.content = cidOf(RAW, inline)
    entry.inline = inline
  }
  if (directory !== undefined) entry.directory = directory
  if (target !== undefined) entry.target = target
  if (link !== undefined) entry.link = link
  if (holes !== undefined) entry.holes = holes
  if (major !== undefined) Object.assign(entry, { major, minor })
  if (xattrs !== undefined) entry.xattrs = xattrs
  if (xattrBlock !== undefined) entry.xattrBlock = xattrBlock
  const whole = entry as unknown as Entry
  checkEntry(whole)
  return whole
}
