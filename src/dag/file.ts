import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'

export interface FilePart {
  readonly cid: Cid
  readonly lengthBytes: number
}

export interface BuiltFile {
  /** What the file's entry carries; absent exactly when `sizeBytes` is 0. */
  readonly content?: Cid
  readonly sizeBytes: number
}

export interface FileBuilder {
  add(part: FilePart): void
  finish(): BuiltFile
}

export interface FileNode {
  readonly level: number
  /** Level 0: raw chunks. Above: file nodes with the bytes below each. */
  readonly parts: readonly FilePart[]
  readonly sizeBytes: number
}

export function createFileBuilder(_emit: (block: Block) => void): FileBuilder {
  throw new Error('not written yet')
}

/** Emits the file's nodes (none for a file of one chunk) after their parts. */
export function buildFile(_parts: Iterable<FilePart>, _emit: (block: Block) => void): BuiltFile {
  throw new Error('not written yet')
}

export function decodeFileNode(_cid: Cid, _bytes: Uint8Array): FileNode {
  throw new Error('not written yet')
}
