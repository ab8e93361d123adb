/**
 * Who may connect (Membership), and how a newcomer becomes a member (Admission): an invite names this node as its
 * admitter; whoever shows the secret that the invite's hash is of, in time and first, gets a member record signed by
 * this node. The record is durable before the newcomer hears of it.
 *
 * An invite lets in one node. The same node asking again gets the same answer: its first answer may have been lost,
 * and it must not be locked out by that.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import type { Admission, Membership } from '../../net/ports.ts'
import { inviteSecretHash } from '../../record/invite-token.ts'
import { type KeyPair, publicKeyOf } from '../../record/key.ts'
import type { Invite, MeshState } from '../../record/mesh-state.ts'
import type { VerifiedRecord } from '../../record/record.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { Ledger } from './ledger.ts'

export interface AdmissionComponents {
  readonly ledger: Ledger
  readonly nodeKey: KeyPair
  readonly clock: Clock
  readonly logger: ReplicaLog
}

export function createAdmission({ ledger, nodeKey, clock, logger }: AdmissionComponents): Admission {
  return {
    async claim({ peer, secret, invite: id }) {
      const invite = checkInvite(ledger.state(), id, nodeKey, clock.nowMs(), peer)
      // Only after the checks that tell nothing of the secret, and in constant time.
      const hash = inviteSecretHash(secret)
      if (hash.length !== invite.body.secretHash.length || !timingSafeEqual(hash, invite.body.secretHash)) {
        logger.warn({ peer, invite: id.toString() }, 'admission.wrong-secret')
        throw refused('the secret does not fit the invite', id)
      }
      if (invite.usedBy !== peer) await admit(peer, id)
      return { records: recordsForNewcomer(ledger, peer, nodeKey).map((record) => record.bytes) }
    },
  }

  async function admit(peer: string, id: Cid): Promise<void> {
    const record = await ledger.issue(nodeKey, 'member', (state) => {
      // Looked at again in our turn: of two that show one invite at the same time, the second must not get in.
      const { body } = checkInvite(state, id, nodeKey, clock.nowMs(), peer)
      const known = state.members.get(peer)
      if (known !== undefined) throw refused(`the key is already a member, at site ${known.site}`, id)
      return {
        peer: publicKeyOf(peer),
        site: body.site,
        region: body.region,
        roles: body.roles,
        invite: id,
        expiresMs: null,
        version: 1,
      }
    })
    logger.info({ peer, invite: id.toString(), record: record.id.toString() }, 'admission.admitted')
  }
}

/**
 * Members by the records; a guest is let in only until the last invite made for this node to admit expires. A used one
 * counts as well: who comes with it is told so, instead of meeting a closed door. Where requests to join are taken, any key that
 * was not revoked may come.
 */
export function createMembership(
  { ledger, nodeKey, clock }: Pick<AdmissionComponents, 'ledger' | 'nodeKey' | 'clock'>,
  { takesRequests = false }: { /** To join without an invite. */ readonly takesRequests?: boolean } = {},
): Membership {
  // Asked on every connection: the invites, of which there may be thousands, are gone through only when they change.
  let latestExpiryMs: number | undefined
  ledger.subscribe(({ effects }) => {
    if (effects.some(({ kind }) => kind === 'invite' || kind === 'member' || kind === 'admins')) {
      latestExpiryMs = undefined
    }
  })
  return {
    isMember(peer) {
      const member = ledger.state().members.get(peer)
      return member?.isActive === true && (member.expiresMs === null || member.expiresMs > clock.nowMs())
    },
    acceptsGuests(peer) {
      if (takesRequests && !ledger.state().revoked.has(peer)) return true
      latestExpiryMs ??= latestExpiry(ledger.state(), nodeKey)
      return latestExpiryMs > clock.nowMs()
    },
  }
}

function latestExpiry(state: MeshState, nodeKey: KeyPair): number {
  let latestMs = 0
  for (const invite of state.invites.values()) {
    if (invite.admitter === nodeKey.peer && !invite.isWithdrawn)
      latestMs = Math.max(latestMs, invite.body.expiresMs)
  }
  return latestMs
}

function checkInvite(state: MeshState, id: Cid, nodeKey: KeyPair, nowMs: number, peer: string): Invite {
  const invite = state.invites.get(id.toString())
  if (invite === undefined) throw refused('no such invite is known here', id)
  if (invite.admitter !== nodeKey.peer) throw refused('the invite is for another node to admit by', id)
  if (state.revoked.has(peer)) throw refused('the key has been revoked', id)
  if (invite.isWithdrawn) throw refused('the invite was withdrawn', id)
  if (invite.usedBy === peer) return invite
  if (invite.usedBy !== undefined) throw refused('the invite has been used', id)
  if (invite.body.expiresMs <= nowMs) throw refused('the invite has expired', id)
  return invite
}

function refused(why: string, invite: Cid): MirrorError {
  return new MirrorError('refused', why, {
    facts: { invite: invite.toString() },
    hint: 'Ask an admin of the mesh for a new invite: mirrormesh invite --site SITE --region REGION.',
  })
}

/**
 * What a newcomer needs before it can check anything else: the records that make up the mesh's admins, itself and its
 * admitter, with everything that those depend on, each after what it depends on. The rest comes by reconciliation.
 */
export function recordsForNewcomer(ledger: Ledger, peer: string, nodeKey: KeyPair): VerifiedRecord[] {
  const state = ledger.state()
  const out = new Map<string, VerifiedRecord>()
  const addChain = (id: Cid | null | undefined): void => {
    const chain: VerifiedRecord[] = []
    for (let next = id; next !== null && next !== undefined && !out.has(cidKey(next)); ) {
      const record = ledger.record(next)
      if (record === undefined) break
      chain.push(record)
      next = record.prev
    }
    for (const record of chain.reverse()) out.set(cidKey(record.id), record)
  }
  addChain(ledger.mesh)
  addChain(state.admins?.origin.record)
  for (const who of [nodeKey.peer, peer]) {
    const member = state.members.get(who)
    if (member === undefined) continue
    if (member.invite !== undefined) addChain(state.invites.get(member.invite)?.id)
    addChain(member.origin.record)
  }
  return [...out.values()]
}
