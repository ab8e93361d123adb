/**
 * The state of one tree from its records: its active epoch, the history of good heads, a fork if there is one, its
 * tags, the encodings of its snapshots. A pure function of the kept records and the authority.
 */
import { cidKey } from '../../block/cid.ts'
import type { Epoch, Fork, Head, Tag, TreeState } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { compareIds, MAX_EVIDENCE } from './chains.ts'
import { evaluateEncodings } from './encodings.ts'
import { lastWriter } from './last-writer.ts'
import { originOf } from './origin.ts'
import { declarations, publishersOf, standing } from './tree-declarations.ts'
import { type EpochGroup, epochLevels, findHead, headOf, headsAfter, rootOf } from './tree-epochs.ts'
import type { TreeRecords } from './tree-records.ts'

/** Undefined when nobody who may has declared the tree. */
export function evaluateTree(records: TreeRecords, authority: Authority): TreeState | undefined {
  const declared = declarations(records, authority)
  const last = standing(declared)
  if (last === undefined) return undefined
  const levels = epochLevels(records, publishersOf(declared), authority)
  const settled = settle(records, authority, levels)
  return {
    name: records.name,
    body: last.body,
    origin: originOf(last.record),
    ...evaluateTags(records, authority),
    ...settled,
    encodings: evaluateEncodings(records, settled.history, authority),
  }
}

function settle(
  records: TreeRecords,
  authority: Authority,
  levels: readonly (readonly EpochGroup[])[],
): Pick<TreeState, 'epoch' | 'history' | 'newest' | 'fork'> {
  const top = levels.at(-1) ?? []
  if (top.length > 1) return conflictOfEpochs(records, authority, top)
  const active = top[0]
  if (active === undefined) return { epoch: undefined, history: [], newest: undefined, fork: undefined }
  const { heads, fork } = goOn(records, authority, active)
  const history = [...historyTo(active.before, active.base), ...heads]
  return { epoch: epochOf(active), history, newest: history.at(-1), fork }
}

/** From the tree's first head to `id`. */
function historyTo(group: EpochGroup | undefined, id: Head['previous']): Head[] {
  const heads: Head[] = []
  for (let at = id === null ? undefined : findHead(group, id); at !== undefined; ) {
    heads.push(at)
    at = at.previous === null ? undefined : findHead(group, at.previous)
  }
  return heads.reverse()
}

/**
 * Follows the epoch's heads as long as they agree. Heads at one place with one snapshot are one head (a publisher that
 * signed twice); with different snapshots they are a fork, and it ends before it.
 */
function goOn(
  records: TreeRecords,
  authority: Authority,
  group: EpochGroup,
): { heads: Head[]; fork: Fork | undefined } {
  const heads: Head[] = []
  for (let places = [rootOf(group)]; ; ) {
    const next = places
      .flatMap((place) => headsAfter(records, authority, group, place))
      .map(({ record, body }) => headOf(record, body))
      .toSorted((a, b) => compareIds(a.id, b.id))
    const first = next[0]
    if (first === undefined) return { heads, fork: undefined }
    const branches = Map.groupBy(next, ({ snapshot }) => cidKey(snapshot))
    if (branches.size > 1) {
      const tips = [...branches.values()].map((branch) => tipOf(records, authority, group, branch))
      return {
        heads,
        fork: {
          kind: 'heads',
          epoch: group.number,
          sequence: first.sequence,
          records: next.slice(0, MAX_EVIDENCE).map(({ id }) => id),
          tips: tips.toSorted((a, b) => compareIds(a.id, b.id)).slice(0, MAX_EVIDENCE),
        },
      }
    }
    heads.push(first)
    places = next.map(({ id, sequence }) => ({ key: cidKey(id), sequence }))
  }
}

/** The head furthest along from `branch`: the highest sequence, then the lowest id. */
function tipOf(records: TreeRecords, authority: Authority, group: EpochGroup, branch: readonly Head[]): Head {
  let tip = branch[0]!
  const queue = [...branch]
  for (let head = queue.pop(); head !== undefined; head = queue.pop()) {
    if (head.sequence > tip.sequence || (head.sequence === tip.sequence && compareIds(head.id, tip.id) < 0))
      tip = head
    const place = { key: cidKey(head.id), sequence: head.sequence }
    for (const { record, body } of headsAfter(records, authority, group, place))
      queue.push(headOf(record, body))
  }
  return tip
}

/** The tree stays where all the epochs in dispute agree it was. */
function conflictOfEpochs(
  records: TreeRecords,
  authority: Authority,
  groups: readonly EpochGroup[],
): Pick<TreeState, 'epoch' | 'history' | 'newest' | 'fork'> {
  const histories = groups.map((group) => historyTo(group.before, group.base))
  const [first = [], ...others] = histories
  const history = first.filter((head, i) => others.every((other) => other[i]?.id.equals(head.id)))
  const tips = groups.flatMap(
    (group) =>
      goOn(records, authority, group).heads.at(-1) ?? historyTo(group.before, group.base).at(-1) ?? [],
  )
  const ids = groups.flatMap((group) => group.records.map(({ id }) => id)).toSorted(compareIds)
  return {
    epoch: undefined,
    history,
    newest: history.at(-1),
    fork: {
      kind: 'epochs',
      epoch: groups[0]!.number,
      sequence: undefined,
      records: ids,
      tips: [...new Map(tips.map((tip) => [cidKey(tip.id), tip])).values()].toSorted((a, b) =>
        compareIds(a.id, b.id),
      ),
    },
  }
}

function epochOf(group: EpochGroup): Epoch {
  const record = group.records[0]!
  return {
    id: record.id,
    epoch: group.number,
    publisher: group.publisher,
    base: group.base,
    isByGrant: group.isByGrant,
    origin: originOf(record),
  }
}

export function tagObjection(record: VerifiedRecord, tree: string, authority: Authority): string | undefined {
  return authority.grantObjection(record, { role: 'operator', may: 'tags', tree })
}

function evaluateTags(records: TreeRecords, authority: Authority): Pick<TreeState, 'tags' | 'removedTags'> {
  const tags = new Map<string, Tag>()
  const removedTags = new Map<string, Tag>()
  for (const [name, said] of records.tags) {
    const last = lastWriter(
      said
        .filter(({ record }) => tagObjection(record, records.name, authority) === undefined)
        .map(({ record, body }) => ({ record, body, version: body.version })),
    )
    if (last === undefined) continue
    const tag = { body: last.body, origin: originOf(last.record) }
    if (last.body.removed) removedTags.set(name, tag)
    else tags.set(name, tag)
  }
  return { tags, removedTags }
}
