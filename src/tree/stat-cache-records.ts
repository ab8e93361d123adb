/** Marks of the records in a stat cache, which its writer and its reader share. */

export const CACHE_KIND = { leave: 0, directory: 1, other: 2, end: 3 } as const

/** Flags of a record. */
export const IS_TRUSTED = 1
export const HAS_RESULT = 2
