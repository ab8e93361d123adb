import type { Block } from '../block/block.ts'
import type { ChunkerParams } from '../block/chunker.ts'
import type { Cid } from '../block/cid.ts'
import type { Entry } from './entry.ts'

export interface SnapshotCounts {
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  /** Sum of the file sizes. */
  readonly bytes: number
  /** Of the block index: each block once. */
  readonly blocks: number
  readonly blockBytes: number
}

export interface Uncaptured {
  readonly count: number
  /** The first of them, 100 at most; paths in printable form. */
  readonly first: readonly { readonly path: string; readonly reason: string }[]
}

export interface Snapshot {
  readonly tree: string
  /** Its name is empty. */
  readonly root: Entry
  readonly index: Cid
  readonly parent?: Cid
  readonly createdMs: number
  readonly chunker: ChunkerParams
  readonly counts: SnapshotCounts
  readonly uncaptured: Uncaptured
  readonly notes: Readonly<Record<string, string>>
}

export function encodeSnapshot(_snapshot: Snapshot): Block {
  throw new Error('not written yet')
}

export function decodeSnapshot(_cid: Cid, _bytes: Uint8Array): Snapshot {
  throw new Error('not written yet')
}
