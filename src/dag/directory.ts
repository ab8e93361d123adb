import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import type { Entry } from './entry.ts'

export interface DirectoryChild {
  readonly cid: Cid
  /** Entries in all leaves below. */
  readonly entries: number
  /** The greatest name below. */
  readonly lastName: Uint8Array
}

export type DirectoryNode =
  | { readonly kind: 'leaf'; readonly entries: readonly Entry[] }
  | { readonly kind: 'branch'; readonly level: number; readonly children: readonly DirectoryChild[] }

/**
 * Emits the nodes of one directory, children before parents, and returns its root's CID.
 * @param entries in strictly ascending order of their raw names; checked
 */
export function buildDirectory(_entries: Iterable<Entry>, _emit: (block: Block) => void): Cid {
  throw new Error('not written yet')
}

export function decodeDirectoryNode(_cid: Cid, _bytes: Uint8Array): DirectoryNode {
  throw new Error('not written yet')
}
