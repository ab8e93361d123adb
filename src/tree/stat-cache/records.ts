/** Marks of the records in a stat cache, which its writer and its reader share. */

import { STAT_KEY_BYTES } from '../spool/stat-key.ts'

export const CACHE_KIND = { leave: 0, directory: 1, other: 2, end: 3 } as const

/** Of an entry's record after its kind: flags, length of the name, of the body, of the result, stat key. */
export const ENTRY_HEADER_BYTES = 1 + 2 + 4 + 8 + STAT_KEY_BYTES

/** Flags of a record. */
export const IS_TRUSTED = 1
export const HAS_RESULT = 2
