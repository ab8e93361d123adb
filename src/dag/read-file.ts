import type { FileEntry } from './entry.ts'
import type { FilePart } from './file.ts'
import type { NodeSource } from './source.ts'

export interface PlacedPart extends FilePart {
  /** Where the chunk starts in the file. */
  readonly offset: number
}

/** The chunks of a file that overlap the range (default: all), in order. */
export function fileParts(
  _source: NodeSource,
  _entry: FileEntry,
  _range?: { readonly startByte: number; readonly endByte: number },
  _signal?: AbortSignal,
): AsyncIterable<PlacedPart> {
  throw new Error('not written yet')
}
