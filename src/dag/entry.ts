import type { Cid } from '../block/cid.ts'

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

/** @throws MirrorError `corrupt` for '', '.', '..', a slash, NUL, or more than 255 bytes */
export function checkName(_name: Uint8Array): void {
  throw new Error('not written yet')
}

/** The entry as canonical dag-cbor. A root's entry has the empty name. */
export function encodeEntry(_entry: Entry): Uint8Array {
  throw new Error('not written yet')
}

export function decodeEntry(_bytes: Uint8Array): Entry {
  throw new Error('not written yet')
}
