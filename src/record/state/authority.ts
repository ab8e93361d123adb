/**
 * Who may do what. A cut ends a key's chain: for an admin's key by the admin-set that it left with, for any other by
 * an admin's revocation. Admins' chains are cut by admin-sets only, so revocations never depend on revocations and
 * there is no circle to resolve.
 *
 * An admin's records count whether signed before or after it became one: when a key is trusted with everything, an
 * order between its records and its appointment would protect nothing, and there is no clock to give one.
 */
import { cidKey } from '../../block/cid.ts'
import { type PeerId, peerIdOf } from '../key.ts'
import type { Cut, RevocationBody } from '../kinds/revocation.ts'
import type { VerifiedRecord } from '../record.ts'
import type { AdminSets } from './admin-sets.ts'
import { type Chains, pushTo } from './chains.ts'
import { createGrants, type Grants, type Wanted } from './grants.ts'

export interface Authority {
  /** Takes note of a kept revocation or grant. */
  learn(record: VerifiedRecord): void
  /** Why an admin did not say this; undefined when one did. */
  adminObjection(record: VerifiedRecord): string | undefined
  /** As `adminObjection`, but a grant will do too. */
  grantObjection(record: VerifiedRecord, wanted: Wanted): string | undefined
  readonly grants: Grants
  /** Why the record is beyond the end of its issuer's chain; undefined when it is not. */
  cutObjection(record: VerifiedRecord): string | undefined
  /** Why a revocation has no effect. */
  revocationObjection(record: VerifiedRecord, body: RevocationBody): string | undefined
  cuts(peer: PeerId): readonly Cut[]
  isRevoked(peer: PeerId): boolean
  /** Keys that some revocation names, whether or not it has effect. */
  named(): Iterable<PeerId>
}

export function createAuthority(chains: Chains, admins: AdminSets): Authority {
  const revocations = new Map<PeerId, VerifiedRecord[]>()

  function adminObjection(record: VerifiedRecord): string | undefined {
    const set = admins.current()
    if (set === undefined) return 'the genesis of the mesh has not arrived'
    if (!set.everAdmin.has(record.issuerPeer)) return `${record.issuerPeer} is not an admin`
    const cut = set.cuts.get(record.issuerPeer)
    if (cut !== undefined && isBeyond(chains, cut, record)) {
      return `${record.issuerPeer} has left the admins; what it signed since does not count`
    }
    return undefined
  }

  function revocationObjection(record: VerifiedRecord, body: RevocationBody): string | undefined {
    const objection = adminObjection(record)
    if (objection !== undefined) return objection
    const peer = peerIdOf(body.key)
    const set = admins.current()
    if (set?.everAdmin.has(peer) || set?.recovery === peer) {
      return 'the key of an admin is ended by an admin-set, not by a revocation'
    }
    return undefined
  }

  function effective(peer: PeerId): Cut[] {
    return (revocations.get(peer) ?? []).flatMap((record) =>
      record.content.kind === 'revocation' && revocationObjection(record, record.content.body) === undefined
        ? [record.content.body]
        : [],
    )
  }

  function cuts(peer: PeerId): Cut[] {
    const left = admins.current()?.cuts.get(peer)
    return left === undefined ? effective(peer) : [left]
  }

  function cutObjection(record: VerifiedRecord): string | undefined {
    return cuts(record.issuerPeer).some((cut) => isBeyond(chains, cut, record))
      ? `the key ${record.issuerPeer} has been ended, and this record is beyond the last that counts`
      : undefined
  }

  const grants = createGrants({
    adminObjection,
    cutObjection,
    isBeyond: (cut, record) => isBeyond(chains, cut, record),
  })

  return {
    learn(record) {
      grants.learn(record)
      if (record.content.kind === 'revocation') {
        pushTo(revocations, peerIdOf(record.content.body.key), record)
      }
    },
    adminObjection,
    grantObjection(record, wanted) {
      const objection = adminObjection(record)
      // Of an admin that has left, that is the better answer.
      if (objection === undefined || admins.wasEverAdmin(record.issuerPeer)) return objection
      return grants.objection(record, wanted)
    },
    grants,
    revocationObjection,
    cutObjection,
    cuts,
    isRevoked: (peer) => effective(peer).length > 0,
    named: () => revocations.keys(),
  }
}

/** By counter, and where the chain forks, by branch: only `last` and what came before it counts. */
function isBeyond(chains: Chains, cut: Omit<Cut, 'key'>, record: VerifiedRecord): boolean {
  if (record.counter > cut.counter) return true
  if (cut.last === null || !chains.isForked(record.issuerPeer)) return false
  const accepted = chains.ancestors(cut.last)
  return accepted !== undefined && !accepted.has(cidKey(record.id))
}
