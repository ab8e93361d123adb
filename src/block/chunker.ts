export interface ChunkerParams {
  readonly kind: 'gear64'
  readonly minBytes: number
  readonly avgBytes: number
  readonly maxBytes: number
}

export const DEFAULT_CHUNKER: ChunkerParams = {
  kind: 'gear64',
  minBytes: 32 * 1024,
  avgBytes: 128 * 1024,
  maxBytes: 512 * 1024,
}

export interface Chunker {
  /** Window in the memory of the WASM instance: callers read file bytes straight into it. Stable for the chunker's life. */
  readonly buffer: Uint8Array
  /**
   * Length of the next chunk in `buffer[start, end)`. Returns 0 when there is no cut in less than `maxBytes` and the
   * content goes on (`isEnd` false): call again with more bytes after them.
   */
  nextCut(start: number, end: number, isEnd: boolean): number
}

export function createChunker(_params: ChunkerParams, _options: { capacityBytes: number }): Chunker {
  throw new Error('not written yet')
}

/** Lengths of all chunks of `bytes`. */
export function cutAll(_params: ChunkerParams, _bytes: Uint8Array): number[] {
  throw new Error('not written yet')
}

/** @throws MirrorError `corrupt` when the shape is wrong, `limit` when a size is out of bounds */
export function checkChunkerParams(_value: unknown): ChunkerParams {
  throw new Error('not written yet')
}
