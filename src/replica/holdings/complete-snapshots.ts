/**
 * Which snapshots are complete here, answered from memory: for readers that ask on every request. What is on disk is
 * the holdings' affair; this follows it. It is behind where something became complete, so that nothing is called that
 * before it is, and ahead where something is complete no longer.
 */
import { covers, type PathFilter } from '../../base/path-filter.ts'
import { type Cid, cidKey, parseCid } from '../../block/cid.ts'
import type { KeyValue } from '../../store/index/key-value.ts'
import type { Holdings } from './holdings.ts'
import { decodeView, type SnapshotView, VIEWS_NAMESPACE } from './snapshot-views.ts'

export interface CompleteSnapshots {
  /** In full. */
  has(tree: string, snapshot: Cid): boolean
  /** In full, or at least what the filter takes of it. */
  holds(tree: string, snapshot: Cid, filter: PathFilter | undefined): boolean
  /** Of one that is complete here under a filter, and not in full. */
  viewOf(tree: string, snapshot: Cid): SnapshotView | undefined
  /** The block to read the snapshot from: its own, or its view's. */
  shown(snapshot: Cid): Cid
  /** As `note`, for what is complete under a filter. */
  noteView(tree: string, snapshot: Cid, view: SnapshotView): void
  /** Its completeness was proved and is durable: a fetch ended well. */
  note(tree: string, snapshot: Cid): void
  /** As Holdings.adopt, for a snapshot that was stored here by an import. */
  adopt(tree: string, snapshot: Cid, signal?: AbortSignal): Promise<void>
  list(): CompleteSnapshot[]
  /** A greater number whenever any of this may be answered otherwise than before. */
  revision(): number
  /** A block of it was lost. */
  revoke(tree: string, snapshot: Cid): Promise<void>
}

export interface CompleteSnapshot {
  readonly tree: string
  readonly snapshot: Cid
  /** Absent when it is complete in full. */
  readonly view?: SnapshotView
}

export async function loadCompleteSnapshots({
  values,
  holdings,
}: {
  /** Store.values. */
  readonly values: (namespace: string) => KeyValue
  readonly holdings: Pick<Holdings, 'adopt' | 'revoke'>
}): Promise<CompleteSnapshots> {
  const known = new Map<string, CompleteSnapshot>()
  const shown = new Map<string, Cid>()
  let revision = 0
  const keyOf = (tree: string, snapshot: Cid): string => `${tree}/${cidKey(snapshot)}`
  const note = (tree: string, snapshot: Cid): void => {
    revision++
    known.set(keyOf(tree, snapshot), { tree, snapshot })
    shown.delete(cidKey(snapshot))
  }
  const noteView = (tree: string, snapshot: Cid, view: SnapshotView): void => {
    if (has(tree, snapshot)) return
    revision++
    known.set(keyOf(tree, snapshot), { tree, snapshot, view })
    shown.set(cidKey(snapshot), view.cid)
  }
  const has = (tree: string, snapshot: Cid): boolean => {
    const found = known.get(keyOf(tree, snapshot))
    return found !== undefined && found.view === undefined
  }
  for await (const [key] of values('complete').entries()) {
    const slash = key.lastIndexOf('/')
    note(key.slice(0, slash), parseCid(key.slice(slash + 1)))
  }
  for await (const [key, value] of values(VIEWS_NAMESPACE).entries()) {
    const slash = key.lastIndexOf('/')
    const view = decodeView(value)
    // What cannot be read is fetched again: most of it is here.
    if (view !== undefined) noteView(key.slice(0, slash), parseCid(key.slice(slash + 1)), view)
  }
  return {
    has,
    holds(tree, snapshot, filter) {
      const found = known.get(keyOf(tree, snapshot))
      return found !== undefined && covers(found.view?.filter, filter)
    },
    viewOf: (tree, snapshot) => known.get(keyOf(tree, snapshot))?.view,
    shown: (snapshot) => shown.get(cidKey(snapshot)) ?? snapshot,
    note,
    noteView,
    async adopt(tree, snapshot, signal) {
      await holdings.adopt(tree, snapshot, signal)
      note(tree, snapshot)
    },
    list: () => [...known.values()],
    revision: () => revision,
    async revoke(tree, snapshot) {
      revision++
      known.delete(keyOf(tree, snapshot))
      shown.delete(cidKey(snapshot))
      await holdings.revoke(tree, snapshot)
    },
  }
}
