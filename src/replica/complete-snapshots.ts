/**
 * Which snapshots are complete here, answered from memory: for readers that ask on every request. What is on disk is
 * the holdings' affair; this follows it. It is behind where something became complete, so that nothing is called that
 * before it is, and ahead where something is complete no longer.
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
  list(): { readonly tree: string; readonly snapshot: Cid }[]
  /** A block of it was lost. */
  revoke(tree: string, snapshot: Cid): Promise<void>
}

export async function loadCompleteSnapshots({
  values,
  holdings,
}: {
  /** Store.values. */
  readonly values: (namespace: string) => KeyValue
  readonly holdings: Pick<Holdings, 'adopt' | 'revoke'>
}): Promise<CompleteSnapshots> {
  const known = new Map<string, { readonly tree: string; readonly snapshot: Cid }>()
  const keyOf = (tree: string, snapshot: Cid): string => `${tree}/${cidKey(snapshot)}`
  const note = (tree: string, snapshot: Cid): void => {
    known.set(keyOf(tree, snapshot), { tree, snapshot })
  }
  for await (const [key] of values('complete').entries()) {
    const slash = key.lastIndexOf('/')
    note(key.slice(0, slash), parseCid(key.slice(slash + 1)))
  }
  return {
    has: (tree, snapshot) => known.has(keyOf(tree, snapshot)),
    note,
    async adopt(tree, snapshot, signal) {
      await holdings.adopt(tree, snapshot, signal)
      note(tree, snapshot)
    },
    list: () => [...known.values()],
    async revoke(tree, snapshot) {
      known.delete(keyOf(tree, snapshot))
      await holdings.revoke(tree, snapshot)
    },
  }
}
