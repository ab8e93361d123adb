/** What an upload is asked, and answers (see uploads.ts). */
import type { Clock } from '../../base/clock.ts'
import type { Block } from '../../block/block.ts'
import type { ChunkerParams } from '../../block/chunker.ts'
import type { Cid } from '../../block/cid.ts'
import type { Scratch } from '../../dag/scratch.ts'
import type { Host } from '../../net/ports.ts'
import type { KeyPair, PeerId } from '../../record/key.ts'
import type { Head } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { KeyValue } from '../../store/index/key-value.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { Ledger } from '../records/ledger.ts'

export interface UploadsComponents {
  readonly ledger: Ledger
  readonly blocks: BlockStore
  readonly complete: Pick<CompleteSnapshots, 'adopt'>
  /** Of the disk with the store. */
  readonly readFreeBytes: () => number | undefined
  /** Of what each publisher has taken of the disk. */
  readonly values: KeyValue
  /** A takedown means it. */
  readonly isGone: (tree: string, snapshot: Cid) => boolean
  readonly host: Pick<Host, 'peers' | 'reconcile'>
  readonly nodeKey: KeyPair
  readonly scratch: Scratch
  readonly clock: Clock
  readonly logger: ReplicaLog
  /** How a tree without a snapshot is cut; by default as this version does. */
  readonly chunkerOfNewTrees?: () => ChunkerParams
}

export interface UploadsOptions {
  /** See shrink-guard.ts. */
  readonly maxShrinkShare?: number
  readonly maxUploads?: number
  /** Of one key, so that it cannot keep the others out. */
  readonly maxOfPublisher?: number
  /** An upload of which nothing was heard for so long is over. */
  readonly idleMs?: number
  /** However busy it is: it keeps what collections would take. */
  readonly maxAgeMs?: number
}

export interface UploadOpening {
  readonly tree: string
  readonly publisher: PeerId
  readonly timeMs: number
  readonly signature: Uint8Array
  /** The publisher's own records that create the tree, by a grant, when there is none. */
  readonly records: readonly Uint8Array[]
}

export interface OpenedUpload {
  readonly id: string
  /** The newest head; undefined before the first. */
  readonly before: Head | undefined
  /** Its snapshot's block, where it is stored here. */
  readonly snapshot: Uint8Array | undefined
  /** How a tree that has none is to be cut. */
  readonly chunker: ChunkerParams
}

export interface UploadEnd {
  readonly snapshot: Cid
  readonly allowEmpty: boolean
  readonly acceptShrink: boolean
}

export interface FinishedUpload {
  /** Where the head is to go; of an unchanged snapshot, where it is. */
  readonly epoch: number
  readonly sequence: number
  readonly previous: Cid | null
  readonly isNew: boolean
  readonly unjudged: readonly string[]
}

export interface Uploads {
  /** @throws MirrorError `refused` for a key that may not publish there, `not-found` for a tree that there is not, `busy` */
  open(opening: UploadOpening): Promise<OpenedUpload>
  /** Which of them are stored. */
  has(id: string, cids: readonly Cid[]): Promise<boolean[]>
  /** @throws MirrorError `no-space`, `corrupt` */
  put(id: string, blocks: readonly Block[]): Promise<void>
  /** Proves the snapshot complete here. @throws MirrorError `refused` by a gate or the shrink guard, `unstable` when blocks are missing */
  finish(id: string, end: UploadEnd, signal: AbortSignal): Promise<FinishedUpload>
  /**
   * The signed head of a finished upload, which it ends.
   * @throws MirrorError as Ledger.submit; `conflict` when it does not follow the head that it was judged against
   */
  publish(id: string, record: Uint8Array): Promise<{ readonly id: Cid }>
  close(id: string): void
  stop(): void
}
