import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'

export interface IndexedBlock {
  readonly cid: Cid
  readonly lengthBytes: number
}

export interface IndexPage {
  readonly cid: Cid
  readonly blocks: readonly IndexedBlock[]
}

/** What a branch says of a page or of a branch below it. */
export interface PageRef {
  readonly cid: Cid
  /** Blocks in all pages below. */
  readonly blocks: number
  /** Plain bytes of those blocks. */
  readonly sizeBytes: number
}

export type IndexNode =
  | { readonly kind: 'page'; readonly page: IndexPage }
  | { readonly kind: 'branch'; readonly level: number; readonly children: readonly PageRef[] }

export interface BuiltIndex {
  readonly root: Cid
  readonly blocks: number
  readonly sizeBytes: number
}

export interface BlockIndexBuilder {
  /** Adds a block at the end; one that was added before is dropped. */
  add(cid: Cid, lengthBytes: number): void
  finish(): BuiltIndex
}

export function createBlockIndexBuilder(_emit: (block: Block) => void): BlockIndexBuilder {
  throw new Error('not written yet')
}

export function decodeIndexNode(_cid: Cid, _bytes: Uint8Array): IndexNode {
  throw new Error('not written yet')
}
