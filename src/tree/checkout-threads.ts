/** What passes between the main thread of a check-out and its writing threads. Plain data only. */
import type { StoredFile } from './pack-reader.ts'

export interface WriteInput {
  /** Absolute path of the staging directory. */
  readonly staging: Uint8Array
  /** Set uid and gid; false leaves them as the system gives them. */
  readonly ownerMode: OwnerMode
}

/** `set`: as root. `report`: it should be set, but this process may not. `leave`: nobody asked. */
export type OwnerMode = 'set' | 'report' | 'leave'

export interface TaskMetadata {
  readonly mode: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly uid: number
  readonly gid: number
}

/** All paths are below the staging directory; byte strings of a batch lie in one array, as lengths from its start. */
export type WriteTask =
  /** `parts` blocks make the file, from `offset` on. A piece of a large file is opened, not created, and sealed later. */
  | {
      readonly kind: 'file'
      readonly pathBytes: number
      readonly parts: number
      readonly offset: number
      readonly isPiece: boolean
      readonly metadata: TaskMetadata
    }
  | {
      readonly kind: 'symlink'
      readonly pathBytes: number
      readonly targetBytes: number
      readonly metadata: TaskMetadata
    }
  /** Another name for `existing`. */
  | {
      readonly kind: 'link'
      readonly pathBytes: number
      readonly existingBytes: number
      readonly isFile: boolean
      readonly metadata: TaskMetadata
    }
  /** The directory is complete: its metadata, at last. Also seals large files. */
  | {
      readonly kind: 'seal'
      readonly pathBytes: number
      readonly isDirectory: boolean
      readonly metadata: TaskMetadata
    }
  /** Everything on the file system of the staging directory reaches the disk. */
  | { readonly kind: 'sync'; readonly pathBytes: 0 }

export interface WriteBatch {
  readonly tasks: readonly WriteTask[]
  readonly strings: Uint8Array
  /** Blocks of all tasks in order: keys of 33 bytes, plain lengths, and where they lie (pack -1: ask). */
  readonly keys: Uint8Array
  readonly lengths: Uint32Array
  readonly packs: readonly StoredFile[]
  readonly packOf: Int32Array
  readonly offsets: Float64Array
  /** Bytes that lie there: fewer than the plain length for a block that rests as zstd, and for no other. */
  readonly stored: Uint32Array
}

export interface WriteReport {
  readonly files: number
  readonly bytes: number
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
