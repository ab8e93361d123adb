/**
 * Members and invites. An invite lets in the first node that its admitter names: the member record with the lowest
 * counter in the admitter's chain (then the lowest id, should that chain fork). Later ones have no effect. One that an
 * admin has withdrawn lets in nobody.
 */
import { equalBytes } from '../../base/bytes.ts'
import { cidKey } from '../../block/cid.ts'
import { type PeerId, peerIdOf } from '../key.ts'
import type { InviteBody } from '../kinds/invite.ts'
import type { MemberBody } from '../kinds/member.ts'
import type { Invite, Member } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { compareIds, pushTo } from './chains.ts'
import { lastWriter } from './last-writer.ts'
import { originOf } from './origin.ts'

export interface Membership {
  learn(record: VerifiedRecord): void
  peers(): Iterable<PeerId>
  inviteKeys(): Iterable<string>
  /** The invite as it stands, by its key; undefined when there is none or no admin made it. */
  invite(key: string): Invite | undefined
  /** Peers that some record admits by this invite: their membership depends on it. */
  admittedBy(key: string): PeerId[]
  member(peer: PeerId): Member | undefined
  /** Why a member record admits nobody. */
  objection(record: VerifiedRecord, body: MemberBody): string | undefined
}

export function createMembership(authority: Authority): Membership {
  const byPeer = new Map<PeerId, VerifiedRecord[]>()
  const byInvite = new Map<string, VerifiedRecord[]>()
  const invites = new Map<string, VerifiedRecord>()
  const withdrawals = new Map<string, VerifiedRecord[]>()

  function inviteBody(key: string): { record: VerifiedRecord; body: InviteBody } | undefined {
    const record = invites.get(key)
    if (record?.content.kind !== 'invite' || authority.adminObjection(record) !== undefined) return undefined
    return { record, body: record.content.body }
  }

  function isWithdrawn(key: string): boolean {
    return (withdrawals.get(key) ?? []).some((record) => authority.adminObjection(record) === undefined)
  }

  function admission(key: string): VerifiedRecord | undefined {
    let first: VerifiedRecord | undefined
    for (const record of byInvite.get(key) ?? []) {
      if (first !== undefined && compareAdmissions(record, first) > 0) continue
      if (record.content.kind === 'member' && formObjection(record, record.content.body) === undefined)
        first = record
    }
    return first
  }

  /** All but whether the invite was used before. */
  function formObjection(record: VerifiedRecord, body: MemberBody): string | undefined {
    if (body.invite === null) return authority.adminObjection(record)
    const invite = inviteBody(cidKey(body.invite))
    if (invite === undefined) return 'no invite of an admin has that id'
    if (isWithdrawn(cidKey(body.invite))) return 'the invite was withdrawn'
    const { admitter, expiresMs, site, region, roles } = invite.body
    if (!equalBytes(admitter, record.issuer)) return 'its issuer is not the admitter of the invite'
    if (record.timeMs > expiresMs) return 'the invite had expired'
    if (site !== body.site || region !== body.region || roles.join() !== body.roles.join()) {
      return 'it does not repeat the site, region and roles of the invite'
    }
    return authority.cutObjection(record)
  }

  function objection(
    record: VerifiedRecord,
    body: MemberBody,
    firstOf: (invite: string) => VerifiedRecord | undefined = admission,
  ): string | undefined {
    const form = formObjection(record, body)
    if (form !== undefined || body.invite === null) return form
    const first = firstOf(cidKey(body.invite))
    return first === undefined || first.id.equals(record.id) || compareAdmissions(record, first) < 0
      ? undefined
      : 'the invite has been used'
  }

  return {
    learn(record) {
      const { content } = record
      if (content.kind === 'invite') invites.set(cidKey(record.id), record)
      if (content.kind === 'withdrawal') pushTo(withdrawals, cidKey(content.body.invite), record)
      if (content.kind !== 'member') return
      pushTo(byPeer, peerIdOf(content.body.peer), record)
      if (content.body.invite !== null) pushTo(byInvite, cidKey(content.body.invite), record)
    },
    peers: () => byPeer.keys(),
    inviteKeys: () => invites.keys(),
    invite(key) {
      const invite = inviteBody(key)
      if (invite === undefined) return undefined
      const used = admission(key)?.content
      return {
        id: invite.record.id,
        admitter: peerIdOf(invite.body.admitter),
        body: invite.body,
        usedBy: used?.kind === 'member' ? peerIdOf(used.body.peer) : undefined,
        isWithdrawn: isWithdrawn(key),
        origin: originOf(invite.record),
      }
    },
    admittedBy: (key) =>
      (byInvite.get(key) ?? []).flatMap(({ content }) =>
        content.kind === 'member' ? [peerIdOf(content.body.peer)] : [],
      ),
    member(peer) {
      // Looked up once for each invite: an admitter might repeat itself without end.
      const firsts = new Map<string, VerifiedRecord | undefined>()
      const firstOf = (invite: string): VerifiedRecord | undefined => {
        if (!firsts.has(invite)) firsts.set(invite, admission(invite))
        return firsts.get(invite)
      }
      const candidates = (byPeer.get(peer) ?? []).flatMap((record) =>
        record.content.kind === 'member' && objection(record, record.content.body, firstOf) === undefined
          ? [{ record, version: record.content.body.version, body: record.content.body }]
          : [],
      )
      const last = lastWriter(candidates)
      if (last === undefined) return undefined
      const { record, body } = last
      return {
        peer,
        key: body.peer,
        site: body.site,
        region: body.region,
        roles: body.roles,
        expiresMs: body.expiresMs,
        version: body.version,
        isActive: !authority.isRevoked(peer),
        invite: body.invite?.toString(),
        origin: originOf(record),
      }
    },
    objection: (record, body) => objection(record, body),
  }
}

function compareAdmissions(a: VerifiedRecord, b: VerifiedRecord): number {
  return a.counter - b.counter || compareIds(a.id, b.id)
}
