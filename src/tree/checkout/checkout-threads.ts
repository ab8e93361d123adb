/** What passes between the main thread of a check-out and its writing threads. Plain data only. */
import type { LinkableEntry, SpecialEntry } from '../../dag/entry.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import type { ManifestHead } from '../manifest/checkout-manifest.ts'
import type { OwnerMode } from '../manifest/owner-mode.ts'
import type { StoredFile } from './pack-reader.ts'

export type { OwnerMode } from '../manifest/owner-mode.ts'

export interface WriteInput {
  /** Absolute path of the staging directory. */
  readonly staging: Uint8Array
  /** Set uid and gid; false leaves them as the system gives them. */
  readonly ownerMode: OwnerMode
  /** Make device nodes; else they are reported. */
  readonly devices: boolean
  /** What is made below the staging directory gets attributes from the system that are not the tree's. */
  readonly inherits: boolean
  /** The tree that is to be replaced, whose unchanged files are taken over. */
  readonly old?: Uint8Array
  /** They become files of their own that share what lies on the disk: the tree at `old` stays. */
  readonly clones: boolean
  /** The thread's share of the processors is a small one, for good. */
  readonly isBehind?: boolean
  /** The state of the file with slot n goes to byte n * FILE_STATE_BYTES; its name and digest are in the other. */
  readonly stateFd: number
  readonly namesFd: number
  /** On the file system of the staging directory, and opened before anything was written there. */
  readonly syncFd: number
}

export interface TaskMetadata {
  readonly mode: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly uid: number
  readonly gid: number
  readonly xattrs: readonly Xattr[]
}

/** All paths are below the staging directory; byte strings of a batch lie in one array, as lengths from its start. */
export type WriteTask =
  | { readonly kind: 'mkdir'; readonly pathBytes: number }
  /** The file at the same path of the old tree, if it is still as its state says (FILE_STATE_BYTES, after the path). */
  | {
      readonly kind: 'reuse'
      readonly pathBytes: number
      readonly slot: number
      readonly sizeBytes: number
      readonly metadata: TaskMetadata
    }
  /** The file that was written there ahead (ahead.ts), if it was. */
  | {
      readonly kind: 'ahead'
      readonly pathBytes: number
      readonly slot: number
      readonly sizeBytes: number
      readonly metadata: TaskMetadata
    }
  /** What lies there in the old tree is the users' own and comes along. */
  | { readonly kind: 'local'; readonly pathBytes: number }
  /** What a file of several names looks like, now that it has all of them. */
  | {
      readonly kind: 'state'
      readonly pathBytes: number
      readonly slot: number
      /** Of the name that was written. */
      readonly firstSlot: number
      /** Absent: as many as are noted of that one. */
      readonly names?: number
    }
  /** The manifest is written to that path, which is absolute. */
  | {
      readonly kind: 'manifest'
      readonly pathBytes: number
      readonly namesBytes: number
      readonly head: ManifestHead
    }
  /** `parts` blocks make the file, from `offset` on. A piece of a large file is opened, not created, and sealed later. */
  | {
      readonly kind: 'file'
      readonly pathBytes: number
      readonly parts: number
      readonly offset: number
      readonly isPiece: boolean
      /** Of a piece: where it may be left unwritten if it is zeros there, offset in the file and length by turns. */
      readonly holes?: readonly number[]
      readonly slot: number
      /** A state follows the path: if the old tree's file has this content, it is taken. */
      readonly isUnsure: boolean
      readonly metadata: TaskMetadata
    }
  | {
      readonly kind: 'symlink'
      readonly pathBytes: number
      readonly targetBytes: number
      readonly metadata: TaskMetadata
    }
  | {
      readonly kind: 'special'
      readonly pathBytes: number
      readonly type: SpecialEntry['type']
      readonly major: number
      readonly minor: number
      readonly metadata: TaskMetadata
    }
  /** Another name for `existing`. */
  | {
      readonly kind: 'link'
      readonly pathBytes: number
      readonly existingBytes: number
      readonly type: LinkableEntry['type']
      readonly major: number
      readonly minor: number
      readonly metadata: TaskMetadata
    }
  /** The directory is complete: its metadata, at last. Also seals large files. */
  | {
      readonly kind: 'seal'
      readonly pathBytes: number
      readonly isDirectory: boolean
      /** Of a file. */
      readonly slot: number
      readonly metadata: TaskMetadata
    }
  /** Everything on the file system of the staging directory reaches the disk. */
  | { readonly kind: 'sync'; readonly pathBytes: 0 }

export interface WriteBatch {
  readonly id: number
  readonly tasks: readonly WriteTask[]
  readonly strings: Uint8Array
  /** Blocks of all tasks in order: keys of 33 bytes, plain lengths, and where they lie (pack -1: ask; -2: in `inline`). */
  readonly keys: Uint8Array
  readonly lengths: Uint32Array
  readonly packs: readonly StoredFile[]
  readonly packOf: Int32Array
  readonly offsets: Float64Array
  /** Bytes that lie there: fewer than the plain length for a block that rests as zstd, and for no other. */
  readonly stored: Uint32Array
  /** Contents of small files. */
  readonly inline: Uint8Array
}

/** A block's pack: it is none. */
export const IN_BATCH = -2

export interface WriteReport {
  readonly batch: number
  readonly files: number
  /** Written; of files that were taken over from the old tree nothing is. */
  readonly bytes: number
  readonly reusedFiles: number
  readonly reusedBytes: number
  /** Files that could not be taken over: they are to be written, or read and compared first. */
  readonly refused: readonly { readonly slot: number; readonly isUnsure: boolean }[]
  readonly notRestored: NotRestored
}

export interface NotRestored {
  readonly count: number
  /** The first of them, 100 at most; paths in printable form. */
  readonly first: readonly { readonly path: string; readonly reason: string }[]
}

export const MAX_NOT_RESTORED_LISTED = 100

export type WriteQuestion =
  | { readonly kind: 'next'; readonly report?: WriteReport }
  | { readonly kind: 'block'; readonly key: Uint8Array }
export type WriteAnswer =
  | { readonly kind: 'batch'; readonly batch?: WriteBatch }
  | { readonly kind: 'block'; readonly bytes: Uint8Array }
