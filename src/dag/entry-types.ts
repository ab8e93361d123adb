/** What stands under a name of a tree, with the metadata that a check-out restores. */
import type { Cid } from '../block/cid.ts'
import type { XattrFields } from './xattrs.ts'

export interface Metadata extends XattrFields {
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
  /** The content itself, which then is no block: `content` is the CID that it would have as one. */
  readonly inline?: Uint8Array
  /** Id of the hard-link group, 8 bytes. */
  readonly link?: Uint8Array
  /** Offset and length of each hole by turns (holes.ts); absent when there is none. */
  readonly holes?: readonly number[]
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

/** A named pipe or a socket: a name and metadata, nothing more. */
export interface PipeEntry extends Metadata {
  readonly type: 'fifo' | 'socket'
  readonly name: Uint8Array
  readonly link?: Uint8Array
}

export interface DeviceEntry extends Metadata {
  readonly type: 'block-device' | 'character-device'
  readonly name: Uint8Array
  readonly link?: Uint8Array
  readonly major: number
  readonly minor: number
}

export type SpecialEntry = PipeEntry | DeviceEntry

export type Entry = FileEntry | DirectoryEntry | SymlinkEntry | SpecialEntry

/** All but directories may have several names. */
export type LinkableEntry = Exclude<Entry, DirectoryEntry>

export function isSpecial(entry: Entry): entry is SpecialEntry {
  return entry.type !== 'file' && entry.type !== 'directory' && entry.type !== 'symlink'
}

export function isDevice(entry: Entry): entry is DeviceEntry {
  return entry.type === 'block-device' || entry.type === 'character-device'
}
