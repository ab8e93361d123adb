/** The documents that the API answers with, beside the status document. Plain types: the CLI loads this file too. */

import type { PinKeep } from '../../src/record/kinds/pin.ts'
import type { TreeGate, TreeKind, TreeReaders } from '../../src/record/kinds/tree.ts'
import type { PeerExplanation, SegmentExplanation } from '../../src/replica/scheduler/types.ts'
import type { Topology } from '../../src/topology/topology.ts'
import type { LimitsDocument } from '../limits.ts'

/** Numbers of a snapshot's place in its tree's history, in every answer about one. */
export interface SnapshotPlace {
  readonly tree: string
  readonly epoch: number
  readonly sequence: number
  readonly snapshot: string
}

export interface SelfDocument {
  readonly mesh: { readonly id: string; readonly name: string }
  readonly peer: string
  readonly site: string
  readonly region: string
  readonly version: string
  /** Multiaddr text that others can dial. */
  readonly addresses: readonly string[]
  /** Where the gateway listens; null when it is off. */
  readonly http: string | null
  /** Where the API and the console listen by TCP, as a URL; null when they do not. */
  readonly api: string | null
  readonly pid: number
}

/** Where the next record of a key goes on from. */
export interface ChainDocument {
  readonly mesh: string
  readonly counter: number
  /** CID of the last record; null when there is none. */
  readonly prev: string | null
}

export interface TreeDocument {
  readonly tree: string
  readonly version: number
  /** Answered only to whoever asks for a tree that may have been deleted. */
  readonly isRemoved?: true
  readonly publishers: readonly string[]
  readonly readers: TreeReaders
  readonly kind: TreeKind
  /** What a snapshot has to show before it is published. */
  readonly gate: TreeGate | null
  /** Which snapshots stay where no pin says. */
  readonly keep: PinKeep | null
  readonly epoch: { readonly epoch: number; readonly id: string; readonly publisher: string } | null
  readonly head: HeadDocument | null
  readonly tags: readonly { readonly tag: string; readonly sequence: number; readonly snapshot: string }[]
  /** The deltas for the head's snapshot, by the snapshot that they need. */
  readonly encodings: readonly EncodingsDocument[]
  readonly isForked: boolean
  /** What is in dispute, and the end of each branch: one of them is what a new epoch goes on from. */
  readonly fork: {
    readonly kind: 'heads' | 'epochs'
    readonly epoch: number
    readonly sequence: number | null
    readonly records: readonly string[]
    readonly tips: readonly HeadDocument[]
  } | null
}

export interface EncodingsDocument {
  /** Of the head. */
  readonly sequence: number
  readonly baseSequence: number
  readonly bytes: number
  /** Of the blocks that they give, plain. */
  readonly targetBytes: number
  /** False while more are being made. */
  readonly isComplete: boolean
}

export interface HeadDocument extends SnapshotPlace {
  /** CID of the head record. */
  readonly id: string
  readonly publisher: string
  readonly timeMs: number
  readonly files: number | null
  readonly bytes: number | null
}

export interface PinDocument {
  readonly name: string
  readonly tree: string
  readonly sites: {
    readonly all?: true
    readonly label?: string
    readonly region?: string
    readonly site?: string
  }
  readonly checkout: string | null
  /** The check-out is a folder of versions, of which so many stay. */
  readonly versions?: number
  /** Which complete snapshots stay there; absent when the sites' own settings say so. */
  readonly keep?: { readonly last?: number; readonly days?: number }
  /** The least number of verified copies. */
  readonly copies?: number
  /** Of the pin's trees the one with the fewest verified copies of its head; with `copies`, once something is published. */
  readonly fewest?: { readonly tree: string; readonly verified: number }
  /** 5 when absent. */
  readonly priority?: number
  readonly class?: 'urgent'
  /** Only this part of the trees. */
  readonly paths?: { readonly include: readonly string[]; readonly exclude: readonly string[] }
  readonly version: number
}

/** What this node measures to a member that it is connected to, and what is declared of the path between their sites. */
export interface MeasuredPath {
  readonly site: string
  readonly region: string
  readonly peer: string
  readonly pathClass: 'site' | 'region' | 'wan'
  readonly direction: 'inbound' | 'outbound'
  /** True when the member is connected through another one only. */
  readonly isRelayed: boolean
  /** Of the last answered ping; null before the first. */
  readonly rttMs: number | null
  /** Of the last seconds. */
  readonly sentBytesPerSecond: number
  readonly receivedBytesPerSecond: number
  /** The greatest since the node started. */
  readonly maxSentBytesPerSecond: number
  readonly maxReceivedBytesPerSecond: number
  readonly declaredRttMs: number | null
  readonly declaredKbit: number | null
  readonly declaredCost: number | null
}

export interface TopologyDocument {
  readonly self: { readonly site: string; readonly region: string }
  /** Null as long as no admin has declared one. */
  readonly declared: (Topology & { readonly version: number }) | null
  readonly issuer: string | null
  readonly timeMs: number | null
  readonly measured: readonly MeasuredPath[]
}

export interface FetchSummary {
  readonly tree: string
  readonly snapshot: string
  readonly phase: 'snapshot' | 'blocks' | 'check' | 'complete' | 'failed'
  readonly seconds: number
  /** Of the snapshot and stored here, of the pages seen so far. Null before the snapshot's own block arrived. */
  readonly heldBlocks: number
  readonly totalBlocks: number | null
  readonly heldBytes: number
  readonly totalBytes: number | null
  /** Over the network, in this fetch; plain bytes. */
  readonly fetchedBytes: number
  /** Null where none were looked for. */
  readonly deltas: {
    readonly deltasFetched: number
    readonly deltaBytesFetched: number
    /** Blocks of the snapshot that were made of them, and their plain bytes. */
    readonly blocksMade: number
    readonly bytesMade: number
  } | null
  /** Of the peers that owe something now. */
  readonly bytesPerSecond: number
  /** The check-out that is written meanwhile, and how much of it is; absent when none is. */
  readonly checkout?: { readonly path: string; readonly files: number; readonly bytes: number }
}

/** A tree of which an operator lets this site fetch nothing more. */
export interface PausedFetch {
  readonly tree: string
  readonly by: string
  readonly sinceMs: number
}

export interface FetchesDocument {
  readonly fetches: readonly FetchSummary[]
  /** Absent from nodes of a version before. */
  readonly paused?: readonly PausedFetch[]
}

export interface FetchDocument extends FetchSummary {
  readonly peers: readonly PeerExplanation[]
  /** By reason. */
  readonly requestedBlocks: Readonly<Record<string, number>>
  readonly duplicateBlocks: number
  /** The active ones that are not complete. */
  readonly segments: readonly SegmentExplanation[]
  readonly moreSegments: number
}

/** A folder outside of the store that blocks lie in. */
export interface BackingDocument {
  readonly id: number
  readonly purpose: 'in-place' | 'check-out' | 'adopted'
  /** The tree's name; empty when it is not known. */
  readonly tree: string
  /** Printable. */
  readonly path: string
  /** That lie there and not in the store, as far as the store knows. */
  readonly blocks: number
  readonly bytes: number
}

/** First line of a listing. */
export interface EntryListHeader extends SnapshotPlace {
  readonly path: string
  /** That the folder holds, not those below it; absent of what is no folder. */
  readonly entries?: number
}

export type EntryType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'fifo'
  | 'socket'
  | 'block-device'
  | 'character-device'

export interface EntryLine {
  /** Printable; below the folder that was asked for. */
  readonly path: string
  /** The raw bytes in base64, when they are not what `path` shows. */
  readonly rawPath?: string
  readonly type: EntryType
  readonly mode: number
  /** ISO 8601, UTC, with nanoseconds. */
  readonly mtime: string
  readonly uid: number
  readonly gid: number
  readonly user?: string
  readonly group?: string
  readonly sizeBytes?: number
  /** Of a symlink; printable. */
  readonly target?: string
  /** Of a device: its numbers, as `8:1`. */
  readonly device?: string
  /** Names of its extended attributes, printable. */
  readonly xattrs?: readonly string[]
  /** Block of its extended attributes, when they are too long for the entry. */
  readonly xattrBlock?: string
  /** Bytes of a file that lie in holes. */
  readonly holeBytes?: number
  readonly cid?: string
}

/** What a site that holds `from` would fetch for `to`. Compressed lengths are weighed, of much by a sample. */
export interface DiffBytesAnswer {
  readonly from: SnapshotPlace
  readonly to: SnapshotPlace
  readonly newBlocks: number
  readonly newBytes: number
  /** All of it as blocks, compressed where that pays. */
  readonly zstdBytes: number
  /** The snapshot and new nodes of its index, over those that such a site has: fetched besides, with deltas or without. */
  readonly indexBytes: number
  /** Null where there are no deltas between the two. */
  readonly deltas: {
    readonly bytes: number
    /** Plain bytes of what they give. */
    readonly targetBytes: number
    /** What they do not give, as blocks. */
    readonly restZstdBytes: number
  } | null
}

/** First line of a diff. */
export interface DiffHeader {
  /** Null when nothing was published yet. */
  readonly from: SnapshotPlace | null
  readonly to: SnapshotPlace | { readonly dir: string }
}

export interface DiffLine {
  readonly path: string
  readonly rawPath?: string
  readonly change: 'added' | 'removed' | 'changed' | 'type'
  readonly content: boolean
  readonly metadata: boolean
  /** Eleven characters, like those of rsync's --itemize-changes (docs/operating.md). */
  readonly items: string
  readonly type: EntryType
  readonly sizeBytes?: number
  /** Of a symlink; printable. */
  readonly target?: string
}

/** What a path is; `get` asks before it copies. */
export interface ResolvedPath extends SnapshotPlace {
  readonly type: EntryType
  readonly name: string
  readonly mode: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly sizeBytes?: number
  readonly target?: string
}

/** Of the paths to connected peers of other regions to which something was sent. */
export interface PathAnswer {
  readonly site: string | null
  readonly peer: string
  readonly rttMs: number
  readonly queueMs: number
  /** Null: nothing bounds it. */
  readonly bytesPerSecond: number | null
  readonly givesWay: boolean
  readonly connections: number
}

export interface LimitsAnswer extends LimitsDocument {
  readonly paths: readonly PathAnswer[]
}
