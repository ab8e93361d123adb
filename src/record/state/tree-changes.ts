/** What changed between two states of a tree, as effects. */
import type { Cid } from '../../block/cid.ts'
import type { Effect, Head, TreeState } from '../mesh-state.ts'

export function changedTree(
  name: string,
  before: TreeState | undefined,
  after: TreeState | undefined,
): readonly Effect[] {
  const effects: Effect[] = []
  const moved = after?.newest
  if (moved !== undefined && isFurther(moved, before?.newest))
    effects.push({ kind: 'head', tree: name, head: moved })
  else if (!isSame(before?.newest?.id, moved?.id)) effects.push({ kind: 'tree', tree: name })
  if (
    !isSame(before?.origin.record, after?.origin.record) ||
    !isSame(before?.epoch?.id, after?.epoch?.id) ||
    before?.fork?.records.join() !== after?.fork?.records.join()
  ) {
    effects.push({ kind: 'tree', tree: name })
  }
  if (before?.encodings !== after?.encodings) effects.push(...changedEncodings(name, before, after))
  if (before?.tags === after?.tags) return effects
  for (const tag of new Set([...(before?.tags.keys() ?? []), ...(after?.tags.keys() ?? [])])) {
    if (!isSame(before?.tags.get(tag)?.origin.record, after?.tags.get(tag)?.origin.record)) {
      effects.push({ kind: 'tag', tree: name, tag })
    }
  }
  return effects
}

function changedEncodings(
  tree: string,
  before: TreeState | undefined,
  after: TreeState | undefined,
): readonly Effect[] {
  const originsOf = (state: TreeState | undefined, snapshot: string): string | undefined =>
    state?.encodings
      .get(snapshot)
      ?.map(({ origin }) => origin.record)
      .join()
  const snapshots = new Set([...(before?.encodings.keys() ?? []), ...(after?.encodings.keys() ?? [])])
  return [...snapshots]
    .filter((snapshot) => originsOf(before, snapshot) !== originsOf(after, snapshot))
    .map((snapshot) => ({ kind: 'encodings', tree, snapshot }))
}

function isFurther(head: Head, before: Head | undefined): boolean {
  if (before === undefined) return true
  return head.epoch > before.epoch || (head.epoch === before.epoch && head.sequence > before.sequence)
}

function isSame(a: Cid | undefined, b: Cid | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b)
}
