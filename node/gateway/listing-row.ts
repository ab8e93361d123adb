import type { Entry } from '../../src/dag/entry.ts'

/** What a row of a listing needs; folders above the trees are rows too. */
export type ListingRow = Entry | { readonly type: 'folder'; readonly name: Uint8Array }
