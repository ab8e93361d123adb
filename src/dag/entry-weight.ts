import type { Entry } from './entry-types.ts'

/** An entry without content is about so long. */
const BYTES_PER_ENTRY = 256

/** As how many ordinary entries this one counts, for whoever bounds what it holds or puts into a node: 1 to 65. */
export function entryWeight(entry: Entry): number {
  return 1 + Math.floor((entry.type === 'file' ? (entry.inline?.length ?? 0) : 0) / BYTES_PER_ENTRY)
}
