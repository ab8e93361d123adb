/**
 * The encodings of a tree's snapshots: of each pair of a snapshot and its base, the last writer's record among those by
 * the publisher of the snapshot's head. They hang on the history of good heads, and on nothing else of the tree.
 */
import { cidKey } from '../../block/cid.ts'
import type { EncodingsBody } from '../kinds/encodings.ts'
import type { Head, SnapshotEncodings, TreeState } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { lastWriter } from './last-writer.ts'
import { originOf } from './origin.ts'
import type { Said, TreeRecords } from './tree-records.ts'

/** By snapshot, of each the base of the highest sequence first. */
export function evaluateEncodings(
  records: TreeRecords,
  history: readonly Head[],
  authority: Authority,
): Map<string, readonly SnapshotEncodings[]> {
  const found = new Map<string, readonly SnapshotEncodings[]>()
  for (const said of records.encodings.values()) {
    const snapshot = said[0]?.body.snapshot.toString()
    const own = evaluateSnapshot(said, history, authority)
    if (snapshot !== undefined && own.length > 0) found.set(snapshot, own)
  }
  return found
}

/** The usual case: one record more, of a head that is known. Undefined when `record` is none, or changes nothing. */
export function appendEncodings(
  state: TreeState | undefined,
  records: TreeRecords,
  record: VerifiedRecord,
  authority: Authority,
): TreeState | undefined {
  const { content } = record
  if (content.kind !== 'encodings' || state === undefined) return undefined
  const { snapshot } = content.body
  const own = evaluateSnapshot(records.encodings.get(cidKey(snapshot)) ?? [], state.history, authority)
  const encodings = new Map(state.encodings)
  if (own.length > 0) encodings.set(snapshot.toString(), own)
  else encodings.delete(snapshot.toString())
  return { ...state, encodings }
}

export function encodingsObjection(
  record: VerifiedRecord,
  body: EncodingsBody,
  history: readonly Head[],
  authority: Authority,
): string | undefined {
  const head = history[body.sequence - 1]
  if (head?.snapshot.equals(body.snapshot) !== true)
    return `${body.tree} has no head ${body.sequence} of that snapshot`
  if (head.publisher !== record.issuerPeer)
    return `${record.issuerPeer} did not publish ${body.tree}@${body.sequence}`
  const cut = authority.cutObjection(record)
  if (cut !== undefined) return cut
  if (sequenceOf(history, body) === undefined) return 'its base is not the snapshot of a head before it'
  return undefined
}

function evaluateSnapshot(
  said: readonly Said<EncodingsBody>[],
  history: readonly Head[],
  authority: Authority,
): SnapshotEncodings[] {
  const valid = said.filter(
    ({ record, body }) => encodingsObjection(record, body, history, authority) === undefined,
  )
  return [...Map.groupBy(valid, ({ body }) => cidKey(body.base)).values()]
    .flatMap((same) => {
      const last = lastWriter(same.map(({ record, body }) => ({ record, body, version: body.version })))
      if (last === undefined) return []
      const { body, record } = last
      return [{ body, baseSequence: sequenceOf(history, body)!, origin: originOf(record) }]
    })
    .toSorted((a, b) => b.baseSequence - a.baseSequence)
}

/** Of the newest head before the snapshot's that published the base. */
function sequenceOf(history: readonly Head[], { base, sequence }: EncodingsBody): number | undefined {
  for (let at = sequence - 2; at >= 0; at--) if (history[at]!.snapshot.equals(base)) return at + 1
  return undefined
}
