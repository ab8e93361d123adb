/**
 * The records that the state of one tree rests on, encodings aside. With those that come before each in its issuer's chain they
 * say of the tree what all records of the mesh say, to somebody who has no others:
 *
 * - All that admins said, on every branch of their chains, so no revocation and no takedown is left out. What is beyond the
 *   end of a chain has no effect and is.
 * - Every declaration, epoch and head that counts, not only those of the history: of heads that are one (the publisher signed
 *   twice) the next may follow any, and what competes makes a fork. What does not count changes nothing, so a stranger's
 *   records add nothing.
 * - The last record of a key that a cut or a grant names: without it a branch that was cut off would count again.
 */
import type { Cid } from '../../block/cid.ts'
import type { PeerId } from '../key.ts'
import type { Member, TreeState } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { AdminSets } from './admin-sets.ts'
import type { Authority } from './authority.ts'
import type { Chains } from './chains.ts'
import { granteeOf } from './grants.ts'
import { declarations, publishersOf } from './tree-declarations.ts'
import { epochLevels } from './tree-epochs.ts'
import type { TreeRecords } from './tree-records.ts'

export interface EvidenceSources {
  readonly adminSets: AdminSets
  readonly authority: Authority
  readonly chains: Chains
  readonly members: ReadonlyMap<PeerId, Member>
}

/** Repetitions are possible. */
export function evidenceOf(
  tree: TreeState,
  records: TreeRecords,
  { adminSets, authority, chains, members }: EvidenceSources,
): readonly VerifiedRecord[] {
  const kept = (id: Cid | null): VerifiedRecord[] => {
    const record = id === null ? undefined : chains.get(id)
    return record === undefined ? [] : [record]
  }
  /** A record of a key that only its membership lets sign, after what makes it a member. */
  const withStanding = (record: VerifiedRecord): VerifiedRecord[] => {
    const member = chains.maySign(record.issuerPeer) ? undefined : members.get(record.issuerPeer)
    return [...kept(member?.origin.record ?? null), record]
  }
  const current = adminSets.current()
  const found: VerifiedRecord[] = []
  if (current === undefined) return found

  const sets: VerifiedRecord[] = []
  for (let set: VerifiedRecord | undefined = current.record; set !== undefined; ) {
    sets.unshift(set)
    set = set.content.kind === 'admin-set' ? chains.get(set.content.body.previous) : undefined
  }
  for (const set of sets) found.push(...withStanding(set))
  for (const peer of current.everAdmin) {
    for (const record of chains.of(peer)) {
      if (authority.adminObjection(record) === undefined) found.push(record)
    }
  }

  const declared = declarations(records, authority)
  for (const { record } of [...declared.byAdmins, ...declared.byPublishers]) found.push(record)
  for (const group of epochLevels(records, publishersOf(declared), authority).flat()) {
    found.push(...group.records)
    for (const { id } of group.heads.values()) found.push(...kept(id))
  }
  for (const { origin } of [...tree.tags.values(), ...tree.removedTags.values()])
    found.push(...kept(origin.record))

  const issuers = new Set(found.map(({ issuerPeer }) => issuerPeer))
  const lasts: (Cid | null)[] = [...issuers].flatMap((peer) => authority.cuts(peer).map(({ last }) => last))
  for (const { content } of found) {
    if (content.kind === 'grant' && issuers.has(granteeOf(content.body))) lasts.push(content.body.last)
  }
  for (const last of lasts) for (const record of kept(last)) found.push(...withStanding(record))
  return found
}
