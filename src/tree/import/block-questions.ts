/**
 * What the threads of an import ask the main thread about blocks, and what it answers. Plain data only; keys, lengths
 * and offsets lie in memory that both share, and the thread leaves them alone until the answer is there.
 */

export type BlockQuestion =
  /** Which of these blocks shall the thread store? `keys` are 33 bytes each. The answer has one byte a block, 1 for yes. */
  | { readonly kind: 'offer'; readonly keys: Uint8Array; readonly lengths: Uint32Array }
  /** Which of these blocks does the store have? Nothing is claimed. The answer has one byte a block, 1 for yes. */
  | { readonly kind: 'look-up'; readonly keys: Uint8Array }
  | { readonly kind: 'reserve' }
  /** The thread has written all that it will to its pack, and every commit of it was answered. */
  | { readonly kind: 'release'; readonly packId: number }
  /** Entries of the thread's pack, written: sync and publish them. */
  | {
      readonly kind: 'commit'
      readonly packId: number
      readonly keys: Uint8Array
      readonly lengths: Uint32Array
      readonly offsets: Float64Array
      /** Bytes in the pack: fewer than the plain length for a block that rests as zstd, and for no other. */
      readonly stored: Uint32Array
    }

export type BlockAnswer =
  | { readonly kind: 'wanted'; readonly wanted: Uint8Array }
  | { readonly kind: 'looked-up'; readonly stored: Uint8Array }
  | { readonly kind: 'pack'; readonly packId: number; readonly path: string }
  | { readonly kind: 'committed' }
  | { readonly kind: 'released' }
