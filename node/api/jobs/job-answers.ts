/** What jobs end with. Plain types: the CLI loads this file too. */
import type { DeltaReport } from '../../../src/replica/deltas/delta-report.ts'
import type { ScrubReport } from '../../../src/store/collect/scrub-report.ts'
import type { SnapshotPlace } from '../answers.ts'

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
  /** What the gate of the tree could not judge. */
  readonly unjudged?: readonly string[]
  readonly waited?: { readonly sites: readonly string[]; readonly seconds: number }
  /** Absent where no deltas were made, or they are made afterwards. */
  readonly deltas?: PublishedDeltas
}

export type PublishedDeltas = DeltaReport

export interface WaitAnswer extends SnapshotPlace {
  /** That were waited for; each holds this snapshot or a newer one. */
  readonly sites: readonly string[]
  readonly seconds: number
}

export interface DropVersionsAnswer extends SnapshotPlace {
  readonly dropped: readonly string[]
}

export interface RollBackAnswer extends SnapshotPlace {
  /** The head whose snapshot it has. */
  readonly ofSequence: number
  /** False when the newest head had that snapshot already. */
  readonly isNew: boolean
}

export interface AdoptAnswer {
  readonly tree: string
  readonly path: string
  /** Null when the store has every block already: nothing of the folder is needed. */
  readonly backing: number | null
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

export interface ScrubAnswer extends ScrubReport {
  readonly seconds: number
}
