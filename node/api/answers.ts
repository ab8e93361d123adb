/** The documents that the API answers with, beside the status document. Plain types: the CLI loads this file too. */

import type { PeerExplanation, SegmentExplanation } from '../../src/replica/scheduler-types.ts'
import type { Topology } from '../../src/topology/topology.ts'

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
  readonly pid: number
}

/** Where the next record of a key goes on from. */
export interface ChainDocument {
  readonly mesh: string
  readonly counter: number
  /** CID of the last record; null when there is none. */
  readonly prev: string | null
}

export interface MemberDocument {
  readonly peer: string
  readonly site: string
  readonly region: string
  readonly roles: readonly string[]
  readonly state: 'active' | 'expired' | 'revoked'
  /** To this node, which is connected to itself. */
  readonly isConnected: boolean
  readonly expiresMs: number | null
  /** The key that signed the record of membership. */
  readonly admittedBy: string
  /** CID of the invite it came by. */
  readonly invite: string | null
  readonly timeMs: number
  readonly record: string
  /** Trees whose active publisher it is. */
  readonly publishes: readonly string[]
  /** The last record of its key that this node knows: where a revocation cuts. */
  readonly chain: { readonly counter: number; readonly last: string | null }
}

export interface AdminsDocument {
  readonly keys: readonly string[]
  /** How many of them must sign a change of the set. */
  readonly threshold: number
  readonly recovery: string
  /** CID of the genesis or admin-set record that made it so. */
  readonly record: string
  readonly timeMs: number
}

export interface InviteDocument {
  readonly id: string
  readonly site: string
  readonly region: string
  readonly roles: readonly string[]
  readonly admitter: string
  readonly expiresMs: number
  readonly state: 'open' | 'used' | 'expired' | 'withdrawn'
  readonly usedBy: string | null
  readonly issuer: string
  readonly timeMs: number
}

/** A signed record as an audit shows it. */
export interface RecordDocument {
  readonly id: string
  readonly kind: string
  /** What it is about: a tree, a pin, a site or a key. */
  readonly subject: string
  readonly text: string
  readonly issuer: string
  /** Of the issuer, when it is a member. */
  readonly issuerSite: string | null
  /** Whether the issuer is an admin now. */
  readonly isAdmin: boolean
  readonly counter: number
  /** By the issuer's clock. */
  readonly timeMs: number
}

export interface RecordPage {
  /** Newest first. */
  readonly records: readonly RecordDocument[]
  /** For the next page; null at the end. */
  readonly cursor: string | null
}

export interface TreeDocument {
  readonly tree: string
  readonly version: number
  readonly publishers: readonly string[]
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
  readonly sites: { readonly all?: true; readonly region?: string; readonly site?: string }
  readonly checkout: string | null
  /** The check-out is a folder of versions, of which so many stay. */
  readonly versions?: number
  /** Which complete snapshots stay there; absent when the sites' own settings say so. */
  readonly keep?: { readonly last?: number; readonly days?: number }
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

export interface Uncaptured {
  readonly count: number
  readonly first: readonly { readonly path: string; readonly reason: string }[]
}

export interface PublishAnswer extends SnapshotPlace {
  readonly files: number
  readonly bytes: number
  readonly blocks: number
  readonly newBlocks: number
  readonly newBytes: number
  readonly seconds: number
  readonly uncaptured: Uncaptured
  /** False when the source was the head already. */
  readonly isNew: boolean
  /** The rules by which entries were left out. */
  readonly ignore: readonly string[]
  readonly waited?: { readonly sites: readonly string[]; readonly seconds: number }
  /** Absent where no deltas were made, or they are made afterwards. */
  readonly deltas?: PublishedDeltas
}

export interface PublishedDeltas {
  /** Of the head against whose snapshot they are. */
  readonly baseSequence: number
  /** Plain bytes of the blocks that it lacks. */
  readonly newBytes: number
  readonly deltas: number
  readonly deltaBytes: number
  /** Of the blocks that the deltas give: plain, and as they would travel without. */
  readonly targetBytes: number
  readonly zstdBytes: number
  readonly seconds: number
  /** Why there are not more. */
  readonly endedBy?: string
}

export interface WaitAnswer extends SnapshotPlace {
  /** That were waited for; each holds this snapshot or a newer one. */
  readonly sites: readonly string[]
  readonly seconds: number
}

export interface RollBackAnswer extends SnapshotPlace {
  /** The head whose snapshot it has. */
  readonly ofSequence: number
  /** False when the newest head had that snapshot already. */
  readonly isNew: boolean
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

export interface AdoptAnswer {
  readonly tree: string
  readonly path: string
  readonly backing: number
  readonly files: number
  readonly bytes: number
  readonly blocks: number
  readonly newBlocks: number
  readonly newBytes: number
  readonly uncaptured: Uncaptured
  readonly seconds: number
}

export interface DropBackingAnswer {
  readonly id: number
  /** Blocks that were copied into the store, that were forgotten, and whose files had changed. */
  readonly copied: { readonly blocks: number; readonly bytes: number }
  readonly forgotten: { readonly blocks: number; readonly bytes: number }
  readonly lost: { readonly blocks: number; readonly bytes: number }
}

/** What a publish would do: the sequence would be this one, the new blocks and bytes would be stored. */
export interface DryRunAnswer extends Omit<PublishAnswer, 'snapshot' | 'waited' | 'deltas'> {
  readonly isDryRun: true
}

export interface CheckoutAnswer extends SnapshotPlace {
  readonly dest: string
  readonly files: number
  /** Written. */
  readonly bytes: number
  /** Unchanged, and taken over from the check-out before. */
  readonly reusedFiles: number
  readonly reusedBytes: number
  readonly seconds: number
  readonly notRestored: Uncaptured
  /** Protected paths that stayed; what of the snapshot is not there because of them; what users made that is gone. */
  readonly kept: Paths
  readonly overridden: Paths
  readonly dropped: Paths
  /** The tree before, when it could not be removed. */
  readonly leftBehind?: string
  /** Of a folder of versions, in which `dest` is one. */
  readonly versions?: {
    /** Leads to it. */
    readonly latest: string
    /** Of all that are there, newest first. */
    readonly sequences: readonly number[]
    readonly removed: readonly number[]
    /** Those that were to go and could not. */
    readonly staying: readonly { readonly path: string; readonly reason: string }[]
    /** Nothing had to be written. */
    readonly wasThere: boolean
  }
}

interface Paths {
  readonly count: number
  /** 100 at most. */
  readonly first: readonly string[]
}

export interface VerifiedSnapshot extends SnapshotPlace {
  readonly blocks: number
  readonly bytes: number
  /** Blocks that are not here, or whose copy on disk was wrong. */
  readonly missing: { readonly count: number; readonly first: readonly string[] }
  /** Blocks that the snapshot reaches and its index does not list, or the other way round. */
  readonly unlisted: number
}

export interface VerifyAnswer {
  readonly snapshots: readonly VerifiedSnapshot[]
  readonly checkout?: {
    readonly path: string
    readonly differences: {
      readonly count: number
      readonly first: readonly { path: string; reason: string }[]
    }
    /** The users' own, which stays at each move and is not compared. */
    readonly protected: { readonly count: number; readonly first: readonly string[] }
  }
  /** Folders of others that blocks of these trees lie in, and which of their files are not what they were. */
  readonly backings?: readonly {
    readonly id: number
    readonly path: string
    readonly changed: { readonly count: number; readonly first: readonly string[] }
  }[]
  readonly isGood: boolean
  readonly seconds: number
}

export interface CollectAnswer {
  readonly isDryRun: boolean
  readonly kept: readonly KeptSnapshot[]
  readonly dropped: readonly DroppedSnapshot[]
  readonly liveBlocks: number
  readonly deadBlocks: number
  readonly deadBytes: number
  readonly removedPacks: number
  readonly compactedPacks: number
  /** Given back to the disk; in a dry run, about what would be. */
  readonly freedBytes: number
  /** Why some garbage stays where it is; null when none does. */
  readonly leftFor: string | null
  readonly seconds: number
}

export interface KeptSnapshot {
  readonly tree: string
  /** Null when it is in no history of heads. */
  readonly sequence: number | null
  readonly snapshot: string
  readonly isComplete: boolean
  readonly reasons: readonly string[]
}

export interface DroppedSnapshot {
  readonly tree: string
  readonly sequence: number | null
  readonly snapshot: string
  readonly reason: string
  /** About what it takes along, in a dry run: what several share counts for the first of them. Else null. */
  readonly bytes: number | null
}

export interface ScrubAnswer {
  readonly packs: number
  readonly bytes: number
  readonly blocks: number
  readonly damagedBlocks: number
  readonly unreadablePacks: number
  /** Folders outside of the store whose blocks were read, and those that were not found or not readable in full. */
  readonly backings: number
  readonly unreadableBackings: number
  readonly seconds: number
}

/** First line of a listing. */
export interface EntryListHeader extends SnapshotPlace {
  readonly path: string
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
