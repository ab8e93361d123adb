/**
 * Reads the nodes that a walk is about to ask for, many at a time, where the source can: one look-up and one read for a
 * batch of small nodes instead of one of each for every directory. What was read and is not asked for is dropped.
 */
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { Entry } from './entry.ts'
import type { NodeSource } from './source.ts'

export interface ReadAhead extends NodeSource {
  /** The same entries. Before the first of each run of them is given, the nodes that the run names are asked for. */
  entries(entries: readonly Entry[], signal?: AbortSignal): Iterable<Entry>
}

/** Nodes asked for at a time, and nodes kept: those of the directories that a walk is within. */
const WINDOW = 16
const MAX_KEPT = 64
/** Larger ones are read again when they are asked for. */
const MAX_KEPT_NODE_BYTES = 256 * 1024

/** @param nodeOf the node that the walk will ask for when it comes to the entry */
export function createReadAhead(source: NodeSource, nodeOf: (entry: Entry) => Cid | undefined): ReadAhead {
  const kept = new Map<string, Promise<Uint8Array | undefined>>()

  function ask(cids: readonly Cid[], signal: AbortSignal | undefined): void {
    const wanted = cids.filter((cid) => !kept.has(cidKey(cid)))
    // One is asked for as well when it is needed.
    if (source.getMany === undefined || wanted.length < 2) return
    const all = source.getMany(wanted, signal)
    for (const [i, cid] of wanted.entries()) {
      const one = all.then((found) => ((found[i]?.length ?? 0) > MAX_KEPT_NODE_BYTES ? undefined : found[i]))
      // Whoever asks for it gets the error; nobody has to.
      one.catch(() => undefined)
      kept.set(cidKey(cid), one)
      if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value!)
    }
  }

  return {
    async get(cid, signal) {
      const key = cidKey(cid)
      const coming = kept.get(key)
      if (coming === undefined) return source.get(cid, signal)
      kept.delete(key)
      // What was missing a moment ago may have come since.
      return (await coming) ?? source.get(cid, signal)
    },
    *entries(entries, signal) {
      let asked = 0
      for (const [at, entry] of entries.entries()) {
        if (at >= asked) {
          const cids: Cid[] = []
          for (; asked < entries.length && cids.length < WINDOW; asked++) {
            const cid = nodeOf(entries[asked]!)
            if (cid !== undefined) cids.push(cid)
          }
          ask(cids, signal)
        }
        yield entry
      }
    },
  }
}
