/**
 * The usual case of a head: it follows the newest of a tree that is at peace. Then the tree need not be worked out
 * from all its heads again. Anything unusual is left to `evaluateTree`.
 */
import { cidKey } from '../../block/cid.ts'
import type { TreeState } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { headOf, headsAfter } from './tree-epochs.ts'
import { placeAfter, type TreeRecords } from './tree-records.ts'

/** The state after `record`, which is filed in `records` already; undefined when the case is not the usual one. */
export function appendHead(
  state: TreeState | undefined,
  records: TreeRecords,
  record: VerifiedRecord,
  authority: Authority,
): TreeState | undefined {
  if (record.content.kind !== 'head' || state?.newest === undefined || state.epoch === undefined)
    return undefined
  const { body } = record.content
  const { newest, epoch, fork } = state
  if (fork !== undefined || body.previous === null || !body.previous.equals(newest.id)) return undefined
  const place = placeAfter(body.previous)
  const isAlone = records.heads.get(place)?.length === 1 && !records.heads.has(cidKey(record.id))
  if (!isAlone || hasLaterEpoch(records, epoch.epoch)) return undefined
  // They wait for this very head.
  if (records.encodings.has(cidKey(body.snapshot))) return undefined
  const parent = { key: place, sequence: newest.sequence }
  const group = { number: epoch.epoch, publisher: epoch.publisher, isByGrant: epoch.isByGrant }
  const valid = headsAfter(records, authority, group, parent)
  if (valid.length !== 1) return undefined
  const head = headOf(record, body)
  return { ...state, history: [...state.history, head], newest: head }
}

/** One that waits for its base to arrive might begin with this very head. */
function hasLaterEpoch(records: TreeRecords, epoch: number): boolean {
  for (const said of records.epochs.values()) if (said.some(({ body }) => body.epoch > epoch)) return true
  return false
}
