/**
 * Epochs of a tree and the heads that are valid under them.
 *
 * An epoch counts when an admin signed it (or it is the first, of a publisher that created the tree by a grant), its publisher is one that the tree's records list, the epoch before it
 * counts, and its base is null or a valid head under the epochs before. Epochs of one number that say the same
 * (publisher, base, epoch before) are one. Under an epoch, a head is valid when the epoch's publisher signed it, within
 * its chain's end, and the head it names is the base or valid under the same epoch, one lower in sequence. So valid
 * heads form a tree; a chain without branches when the publisher is honest.
 */
import { type Cid, cidKey } from '../../block/cid.ts'
import { type PeerId, peerIdOf } from '../key.ts'
import type { EpochBody } from '../kinds/epoch.ts'
import type { HeadBody } from '../kinds/head.ts'
import type { Head } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { compareIds, pushTo } from './chains.ts'
import { placeAfter, type Said, type TreeRecords } from './tree-records.ts'

export interface EpochGroup {
  readonly number: number
  readonly publisher: PeerId
  readonly base: Cid | null
  /** No admin signed it: its heads need the grant too. */
  readonly isByGrant: boolean
  readonly before: EpochGroup | undefined
  /** The records that say so, rising by id: the first stands for all. */
  readonly records: readonly VerifiedRecord[]
  /** Valid heads of this epoch, by key. */
  readonly heads: ReadonlyMap<string, Head>
}

/** Whom an epoch may name. */
export interface Publishers {
  /** By any record that declares the tree. */
  readonly listed: ReadonlySet<PeerId>
  /** Those who created the tree themselves, by a grant. */
  readonly creators: ReadonlySet<PeerId>
}

/** Epochs that count, by number from 1: more than one at a number is a conflict. Ends before the first empty number. */
export function epochLevels(
  records: TreeRecords,
  publishers: Publishers,
  authority: Authority,
): readonly (readonly EpochGroup[])[] {
  const levels: EpochGroup[][] = []
  for (let before: readonly (EpochGroup | undefined)[] = [undefined]; ; ) {
    const level = before.flatMap((group) => successors(records, publishers, authority, group))
    if (level.length === 0) return levels
    levels.push(level)
    before = level
  }
}

function successors(
  records: TreeRecords,
  publishers: Publishers,
  authority: Authority,
  before: EpochGroup | undefined,
): EpochGroup[] {
  const places = before === undefined ? [''] : before.records.map(({ id }) => cidKey(id))
  const byMeaning = new Map<string, Said<EpochBody>[]>()
  for (const place of places) {
    for (const said of records.epochs.get(place) ?? []) {
      if (epochObjection(said, publishers, authority, before) !== undefined) continue
      pushTo(byMeaning, `${peerIdOf(said.body.publisher)} ${placeAfter(said.body.base)}`, said)
    }
  }
  const groups = [...byMeaning.values()].map((same) => {
    const { epoch, publisher, base } = same[0]!.body
    const group = {
      number: epoch,
      publisher: peerIdOf(publisher),
      base,
      isByGrant: same.every(({ record }) => authority.adminObjection(record) !== undefined),
      before,
      records: same.map(({ record }) => record).toSorted((a, b) => compareIds(a.id, b.id)),
    }
    return { ...group, heads: validHeads(records, authority, group) }
  })
  // An admin's word ends a dispute between publishers.
  return groups.every(({ isByGrant }) => isByGrant) ? groups : groups.filter(({ isByGrant }) => !isByGrant)
}

export function epochObjection(
  { record, body }: Said<EpochBody>,
  publishers: Publishers,
  authority: Authority,
  before: EpochGroup | undefined,
): string | undefined {
  const objection = authority.adminObjection(record)
  if (objection !== undefined && !isOwnBeginning(record, body, publishers.creators)) return objection
  if (!publishers.listed.has(peerIdOf(body.publisher)))
    return "its publisher is not listed by the tree's record"
  if (body.epoch !== (before?.number ?? 0) + 1)
    return 'its number is not one more than that of the epoch before'
  if (body.base !== null && findHead(before, body.base) === undefined) {
    return 'its base is not a valid head of the epochs before it'
  }
  return undefined
}

/** Whether a publisher that created the tree makes itself the first publisher: that is what its grant is for. */
export function isOwnBeginning(
  { issuerPeer }: VerifiedRecord,
  { epoch, base, publisher }: EpochBody,
  creators: ReadonlySet<PeerId>,
): boolean {
  return epoch === 1 && base === null && peerIdOf(publisher) === issuerPeer && creators.has(issuerPeer)
}

/** The head, when it is valid under this epoch or one before it. */
export function findHead(group: EpochGroup | undefined, id: Cid): Head | undefined {
  const key = cidKey(id)
  for (let at = group; at !== undefined; at = at.before) {
    const head = at.heads.get(key)
    if (head !== undefined) return head
  }
  return undefined
}

/** Heads that name one of `parents` and are valid after it. */
export function headsAfter(
  records: TreeRecords,
  authority: Authority,
  group: Pick<EpochGroup, 'number' | 'publisher' | 'isByGrant'>,
  parent: { key: string; sequence: number },
): Said<HeadBody>[] {
  return (records.heads.get(parent.key) ?? []).filter(
    ({ record, body }) =>
      body.epoch === group.number &&
      record.issuerPeer === group.publisher &&
      body.sequence === parent.sequence + 1 &&
      authority.cutObjection(record) === undefined &&
      (!group.isByGrant ||
        authority.grantObjection(record, { role: 'publisher', tree: body.tree }) === undefined),
  )
}

function validHeads(
  records: TreeRecords,
  authority: Authority,
  group: Omit<EpochGroup, 'heads'>,
): ReadonlyMap<string, Head> {
  const heads = new Map<string, Head>()
  const queue = [rootOf(group)]
  for (let parent = queue.pop(); parent !== undefined; parent = queue.pop()) {
    for (const { record, body } of headsAfter(records, authority, group, parent)) {
      const key = cidKey(record.id)
      heads.set(key, headOf(record, body))
      queue.push({ key, sequence: body.sequence })
    }
  }
  return heads
}

/** The place that the epoch's first head follows. */
export function rootOf(group: Pick<EpochGroup, 'base' | 'before'>): { key: string; sequence: number } {
  if (group.base === null) return { key: '', sequence: 0 }
  return { key: cidKey(group.base), sequence: findHead(group.before, group.base)?.sequence ?? 0 }
}

export function headOf(record: VerifiedRecord, body: HeadBody): Head {
  return {
    id: record.id,
    tree: body.tree,
    epoch: body.epoch,
    sequence: body.sequence,
    snapshot: body.snapshot,
    previous: body.previous,
    publisher: record.issuerPeer,
    timeMs: record.timeMs,
    counts: body.counts,
  }
}
