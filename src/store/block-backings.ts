/**
 * The port of file-backed blocks: blocks whose bytes are a range of a file outside of the store. A *backing* is the
 * folder (or single file) that such files lie in. Every read is verified, so a file that was changed makes its blocks
 * missing, never wrong.
 *
 *   in-place    the source of a publication, which is not copied. Somebody else's files
 *   adopted     a mirror that was there before. Somebody else's files
 *   check-out   a tree that we wrote: the storage of its blocks, whose copies in packs become garbage
 *
 * Obligations of every implementation:
 * - After `commit` resolves, the blocks are found and survive a power loss: the bytes of the files, their names, then
 *   the index. What is committed replaces a block's earlier place only in a `check-out`.
 * - A block that a pack gets as well lies in the pack from then on.
 * - A copy that turns out changed in every path of its backing is reported to whoever opened the store, forgotten, and
 *   from then on missing.
 * - Backings outlive the store's closing, but not the loss of its index: their blocks are missing then.
 */
import type { Cid } from '../block/cid.ts'

export const BACKING_PURPOSES = ['in-place', 'check-out', 'adopted'] as const
export type BackingPurpose = (typeof BACKING_PURPOSES)[number]

export interface BackingPaths {
  /** Absolute; of the folder, or of the single file. */
  readonly path: Uint8Array
  /** Where the files may lie as well, while a check-out is being switched. */
  readonly alternative?: Uint8Array
}

export interface NewBacking extends BackingPaths {
  readonly purpose: BackingPurpose
  /** What it is of: a tree's name, or empty. */
  readonly label: string
  /** By which its owner tells it again, such as an inode; nothing to the store. */
  readonly mark?: string
}

export interface Backing extends NewBacking {
  readonly id: number
}

/** What tells a file from its changed self. */
export interface FileIdentity {
  readonly dev: bigint
  readonly ino: bigint
  readonly sizeBytes: number
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

export interface BackedBlock {
  /** The 33 bytes of `cidToKeyBytes`. */
  readonly key: Uint8Array
  readonly offset: number
  readonly lengthBytes: number
}

/** A file, or a part of its blocks: a large file may come in several. */
export interface BackedFile {
  /** Path below the backing's, without a leading slash; empty when the backing is the file. */
  readonly below: Uint8Array
  /** As it was when its bytes were read or written. */
  readonly identity: FileIdentity
  readonly blocks: readonly BackedBlock[]
}

export interface BackingSize {
  /** Blocks that lie there, and their bytes. Those that lie elsewhere as well are not counted. */
  readonly blocks: number
  readonly bytes: number
}

export interface Evacuation {
  /** Copied into packs. */
  readonly moved: BackingSize
  /** Not needed: forgotten. */
  readonly forgotten: BackingSize
  /** Needed, but their files were changed. Reported like any damaged block. */
  readonly lost: BackingSize
}

export interface BackingCheck {
  readonly files: number
  /** Files that are gone or not what they were. Paths below the backing's; the first 100. */
  readonly changed: { readonly count: number; readonly first: readonly Uint8Array[] }
  /** Blocks that were forgotten because of it. */
  readonly lost: BackingSize
}

/** A file, or a part of one, that was committed. */
export interface CommittedFile {
  readonly fileId: number
  readonly below: Uint8Array
  /** As it was when it was committed, or checked last. */
  readonly identity: FileIdentity
}

export interface CommitOptions {
  /** Since the files were written, their bytes and names have been synced. By default that is done now. */
  readonly isSynced?: boolean
}

/** One answer per CID, in order. In doubt: true. */
export type IsNeeded = (cids: readonly Cid[]) => Promise<readonly boolean[]>

export interface BlockBackings {
  /** Durable when it resolves. @returns its id, which is never given again */
  create(backing: NewBacking): Promise<number>
  list(): readonly Backing[]
  /**
   * Publishes blocks of files that the caller has read, and hashed, as they are now.
   * @returns the blocks that the store did not have
   * @throws MirrorError `not-found` for an unknown backing, `invalid` for malformed entries
   */
  commit(backingId: number, files: readonly BackedFile[], options?: CommitOptions): Promise<BackingSize>
  /**
   * Durable when it resolves: say where the files may be before they move, and where they are after.
   * @param mark replaces the one before; absent, that stays
   */
  setPaths(backingId: number, paths: BackingPaths, mark?: string): Promise<void>
  /** In runs, in the order in which they were committed. Reads the index, not the files. */
  files(backingId: number): AsyncIterable<readonly CommittedFile[]>
  /**
   * Files of one check-out become another's, with the blocks that lie in them: at each instant they are the one's or the
   * other's, and so after a crash. What lies elsewhere is forgotten of them.
   * @returns the keys of the blocks that went along
   */
  transfer(from: number, to: number, fileIds: readonly number[]): Promise<readonly Uint8Array[]>
  /** All files of `from` become those of `into`, and `from` is dropped. May be called again after a failure or a crash. */
  absorb(into: number, from: number): Promise<void>
  /** Reads the index, not the files: a second for some hundred thousand blocks. */
  measure(backingId: number): Promise<BackingSize>
  /**
   * Copies the blocks that are needed and lie nowhere else into packs, and drops the backing once they are on disk.
   * May be called again after a failure or a crash. Nothing that the backing holds may become needed meanwhile without
   * `isNeeded` saying so.
   */
  evacuate(backingId: number, isNeeded: IsNeeded, signal?: AbortSignal): Promise<Evacuation>
  /** Forgets its blocks. The files stay as they are. */
  drop(backingId: number): Promise<void>
  /** Drops a backing that nothing was ever committed to; a commit that comes later is `not-found`. @returns whether it did */
  dropUnused(backingId: number): Promise<boolean>
  /** Looks at every file, and reads again those whose identity is not what it was. */
  check(backingId: number, signal?: AbortSignal): Promise<BackingCheck>
  /** Which of these blocks lie in somebody else's files only (`in-place` or `adopted`). Costs nothing without such. */
  areBorrowed(cids: readonly Cid[]): Promise<boolean[]>
}
