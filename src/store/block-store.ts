/**
 * The ports through which blocks are read and stored. Pack files with a level index (store.ts) and an in-memory
 * implementation (memory-store.ts) stand behind them; one conformance suite holds for both.
 *
 * Obligations of every implementation:
 * - `get` returns bytes that hash to the CID, or undefined. A copy that turns out damaged is reported to whoever
 *   opened the store, forgotten, and from then on missing: it is never returned.
 * - After `put` resolves, `get` and `has` find the blocks. After the next `flush` resolves they survive a power loss.
 * - The bytes given to `put` may be reused by the caller once it resolves; the bytes that `get` returns are the
 *   caller's own.
 */
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import type { BlockEncoding, EncodedBlock } from '../block/encoding.ts'
import type { BlockBackings } from './block-backings.ts'

export interface BlockReader {
  /** The verified plain bytes, or undefined when the block is missing (or its copy was damaged). */
  get(cid: Cid, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** One answer per CID, in order. Ask for many at a time: a batch costs little more than a single question. */
  has(cids: readonly Cid[]): Promise<boolean[]>
}

/** A block that its caller has as a zstd frame too. The frame is kept instead of the bytes where the store likes it so. */
export interface PutBlock extends Block {
  /** What the caller has just decoded to `bytes`. Left aside unless the put is `verified`. */
  readonly zstd?: Uint8Array
}

/**
 * How blocks that are put shall rest. `none`: plain. `received`: as zstd where they are given so, plain otherwise.
 * `zstd`: where it pays.
 */
export const STORE_COMPRESSIONS = ['none', 'received', 'zstd'] as const
export type StoreCompression = (typeof STORE_COMPRESSIONS)[number]

export interface PutOptions {
  /** The caller has just checked every block against its CID, so that hashing it again would only cost time. */
  readonly verified?: boolean
}

export interface BlockStore extends BlockReader {
  /**
   * Appends the blocks that are not stored yet.
   * @throws MirrorError `corrupt` when a block does not match its CID (nothing of the call is stored then),
   *   `limit` for a block over MAX_BLOCK_BYTES, `no-space` when the disk is full
   */
  put(blocks: readonly PutBlock[], options?: PutOptions): Promise<void>
  /** As `get`, of many: one answer for each CID, in order. How much they are is the caller's to bound. */
  getMany(cids: readonly Cid[], signal?: AbortSignal): Promise<(Uint8Array | undefined)[]>
  /**
   * As `get`, of many and in the encodings in which the blocks rest: decoded only to be verified. What was put a moment ago
   * is given from memory. One answer for each CID, in order; some may share memory with others.
   */
  getEncoded(cids: readonly Cid[], signal?: AbortSignal): Promise<(EncodedBlock | undefined)[]>
  /**
   * Resolves when everything put before the call is on disk: data synced first, then the index. Concurrent callers
   * share one sync. When it rejects, what was put stays readable and the next flush tries again.
   */
  flush(): Promise<void>
  /** Where the stored bytes lie, for worker threads that read packs with sync calls and verify them. */
  locate(cids: readonly Cid[]): Promise<(BlockPlace | undefined)[]>
  /** A fresh pack file of the caller's own, to be filled by a PackAppender in any thread. */
  reservePack(): Promise<ReservedPack>
  /**
   * Syncs a reserved pack, then publishes, durably, entries of it whose bytes the caller has written. May be called many
   * times for one pack, while more is written to it. Entries must be in the order in which they were appended.
   */
  commitPacked(packId: number, entries: readonly PackedEntry[]): Promise<void>
  /**
   * The filler of a reserved pack has ended, well or not: what it wrote and never had published is given back to the
   * disk. Waits for a `commitPacked` in progress; none may follow.
   */
  releasePack(packId: number): Promise<void>
  /**
   * Asked by fillers of reserved packs before they write so many bytes: `put` asks by itself.
   * @throws MirrorError `no-space` when the disk would be too full for the index and the records
   */
  claimSpace(sizeBytes: number): Promise<void>
  /**
   * The store as one tree has it: for whoever fetches, imports or serves that tree. A block that came here through private
   * trees alone, and not through this one, is missing in it, whatever is asked; it is this tree's too once it was put here.
   * The store itself sees all blocks, and takes what is put for everybody's.
   */
  of(tree: TreeOfBlocks): BlockStore
  /** Blocks that lie in files outside of the store. */
  readonly backings: BlockBackings
  /** Keeps a collection from blocks that somebody relies on, until it is closed. In memory only: see leases.ts. */
  lease(options: LeaseOptions): Lease
  /** The open ones, oldest first. */
  leases(): readonly HeldLease[]
}

export interface TreeOfBlocks {
  readonly tree: string
  /** Asked each time that something is stored: the readers of a tree may change. */
  readonly isPrivate: () => boolean
  /**
   * Whether all who may read this tree may read that one. Then a block that came through that one first becomes this tree's when
   * it is asked for by `get`, `getMany` or `has`. Never, by default.
   */
  readonly mayTakeFrom?: (tree: string) => boolean
}

export interface HeldLease {
  readonly purpose: string
  readonly roots: readonly Cid[]
  readonly below: readonly Cid[]
  /** Absent where whoever relies on it cannot do without. */
  readonly end?: () => void
}

export interface LeaseOptions {
  /** In words, for those who ask why something stays: `fetch of builds/nightly`. */
  readonly purpose: string
  /** Every block that is asked for or stored from now on stays. */
  readonly isWriter?: boolean
  /** A takedown may end it: the reader can live with blocks that are missing then. */
  readonly mayBeEnded?: boolean
  /** A takedown asks by this for an end: who holds it closes it as soon as it can, and not before it has stopped to rely on it. */
  readonly onEndAsked?: () => void
  /**
   * Snapshots and sets of encodings: their blocks, the nodes of their indexes and all that these list stay, as far as they
   * are here.
   */
  readonly roots?: readonly Cid[]
  /** Any blocks: they stay, and all that they lead to, link by link, as far as it is here. */
  readonly below?: readonly Cid[]
}

export interface Lease extends Disposable {
  /**
   * A collection was at work when it was opened, and may have chosen already what goes. Of that it leaves alone what is looked
   * up from now on: to rely on the rest one has to look for it first.
   */
  readonly isLate: boolean
  /** One more root. */
  protect(root: Cid): void
  close(): void
}

export interface ReservedPack {
  readonly packId: number
  readonly path: string
}

/**
 * Where a block's stored bytes lie. A collection may move them: a reader that does not find them there asks `get`, which
 * knows better. Readers must verify what they read.
 */
export interface BlockPlace {
  readonly path: string
  /** The path lies below this folder, in which others write: no link on the way may be followed. */
  readonly root?: string
  /** Of the first stored byte, in the file. */
  readonly offset: number
  readonly storedBytes: number
  /** Of the block once decoded; the same as `storedBytes` for `plain`. */
  readonly lengthBytes: number
  readonly encoding: BlockEncoding
}

/** One block as an appender wrote it. Plain data only: it crosses threads through postMessage. */
export interface PackedEntry {
  /** The 33 bytes of `cidToKeyBytes`. */
  readonly key: Uint8Array
  /** Of the first stored byte, in the pack. */
  readonly offset: number
  readonly storedBytes: number
  readonly lengthBytes: number
  readonly encoding: BlockEncoding
  /** Number of the private tree that it came by; set by the store (owners.ts). */
  readonly owner?: number
}

/** A stored copy that could not be used, found while reading or opening. */
export interface CorruptBlock {
  /** Absent when the damage is not within one known block. */
  readonly cid?: Cid
  readonly path: string
  readonly offset: number
  readonly reason: string
}
