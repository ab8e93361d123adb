/** What a publish answers with, of an import or of a source that is as it was. */
import { equalBytes } from '../../base/bytes.ts'
import type { Cid } from '../../block/cid.ts'
import { encodeEntry } from '../../dag/entry.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import type { Head } from '../../record/mesh-state.ts'
import type { ImportCounts } from '../../tree/import/import.ts'
import type { DeltaReport } from '../deltas/delta-report.ts'

export interface PublishResult extends ImportCounts {
  readonly tree: string
  readonly epoch: number
  readonly sequence: number
  readonly snapshot: Cid
  /** False when the source is as the newest head has it: nothing was signed. */
  readonly isNew: boolean
  readonly seconds: number
  readonly ignore: readonly string[]
  /** What the tree's gate could not judge, in words; absent when nothing was imported. */
  readonly unjudged?: readonly string[]
  /** Absent where none were made, or were not waited for. */
  readonly deltas?: DeltaReport
}

/** Same content and metadata, and the same things left out: nothing that a reader could tell apart. */
export function isSame(a: Snapshot, b: Snapshot): boolean {
  return (
    a.index.equals(b.index) &&
    equalBytes(encodeEntry(a.root), encodeEntry(b.root)) &&
    JSON.stringify([a.uncaptured, a.notes, a.ignore ?? []]) ===
      JSON.stringify([b.uncaptured, b.notes, b.ignore ?? []])
  )
}

export type HeadPlace = Pick<Head, 'epoch' | 'sequence' | 'snapshot'>

export function placeOf({ epoch, sequence, snapshot }: HeadPlace): HeadPlace {
  return { epoch, sequence, snapshot }
}

interface ImportFacts extends ImportCounts {
  readonly snapshot: Snapshot
}

export function unchangedResult(snapshot: Snapshot): ImportFacts {
  const { blockBytes: _blockBytes, specials = 0, ...counts } = snapshot.counts
  const { uncaptured } = snapshot
  return { snapshot, ...counts, specials, newBlocks: 0, newBytes: 0, uncaptured }
}

export function resultOf(
  imported: ImportFacts,
  head: HeadPlace,
  isNew: boolean,
  seconds: number,
): PublishResult {
  const { files, directories, symlinks, specials, bytes, blocks, newBlocks, newBytes, uncaptured } = imported
  return {
    tree: imported.snapshot.tree,
    epoch: head.epoch,
    sequence: head.sequence,
    snapshot: head.snapshot,
    isNew,
    files,
    directories,
    symlinks,
    specials,
    bytes,
    blocks,
    newBlocks,
    newBytes,
    seconds,
    ignore: imported.snapshot.ignore ?? [],
    uncaptured,
  }
}
