/**
 * Which snapshots are complete here, answered from memory: for readers that ask on every request. What is on disk is
 * the holdings' affair; this follows it, and is only ever behind, so that nothing is called complete before it is.
 */
import { type Cid, cidKey, parseCid } from '../block/cid.ts'
import type { KeyValue } from '../store/key-value.ts'
import type { Holdings } from './holdings.ts'

export interface CompleteSnapshots {
  has(tree: string, snapshot: Cid): boolean
  /** Its completeness was proved and is durable: a fetch ended well. */
  note(tree: string, snapshot: Cid): void
  /** As Holdings.adopt, for a snapshot that was stored here by an import. */
  adopt(tree: string, snapshot: Cid, signal?: AbortSignal): Promise<void>
}

export async function loadCompleteSnapshots({
  values,
  holdings,
}: {
  /** Store.values. */
  readonly values: (namespace: string) => KeyValue
  readonly holdings: Pick<Holdings, 'adopt'>
}): Promise<CompleteSnapshots> {
  const known = new Set<string>()
  const note = (tree: string, snapshot: Cid): void => {
    known.add(`${tree}/${cidKey(snapshot)}`)
  }
  for await (const [key] of values('complete').entries()) {
    const slash = key.lastIndexOf('/')
    note(key.slice(0, slash), parseCid(key.slice(slash + 1)))
  }
  return {
    has: (tree, snapshot) => known.has(`${tree}/${cidKey(snapshot)}`),
    note,
    async adopt(tree, snapshot, signal) {
      await holdings.adopt(tree, snapshot, signal)
      note(tree, snapshot)
    },
  }
}
