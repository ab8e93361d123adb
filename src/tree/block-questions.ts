/** What the threads of an import ask the main thread about blocks, and what it answers. Plain data only. */

export type BlockQuestion =
  /** Which of these blocks shall the thread store? `keys` are 33 bytes each. The answer has one byte a block, 1 for yes. */
  | { readonly kind: 'offer'; readonly keys: Uint8Array; readonly lengths: Uint32Array }
  /** Which of these blocks does the store have? Nothing is claimed. The answer has one byte a block, 1 for yes. */
  | { readonly kind: 'look-up'; readonly keys: Uint8Array }
  | { readonly kind: 'reserve' }
  /** Entries of the thread's pack, synced: publish them. */
  | {
      readonly kind: 'commit'
      readonly packId: number
      readonly keys: Uint8Array
      readonly lengths: Uint32Array
      readonly offsets: Float64Array
    }

export type BlockAnswer =
  | { readonly kind: 'wanted'; readonly wanted: Uint8Array }
  | { readonly kind: 'looked-up'; readonly stored: Uint8Array }
  | { readonly kind: 'pack'; readonly packId: number; readonly path: string }
  | { readonly kind: 'committed' }
