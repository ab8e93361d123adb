/**
 * The chain of admin sets, from genesis. Whether a set may follow another is decided by their two records alone, so it
 * is settled once and for good; only which of several successors counts depends on what else has arrived.
 *
 * Of several successors of one set: one signed by the recovery key wins, then the one with more of the old set's
 * signatures, then the lowest id. So a thief of `threshold` keys can race the admins, and the recovery key ends it.
 */
import { compareBytes } from '../../base/bytes.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import { type PeerId, peerIdOf } from '../key.ts'
import type { AdminSetBody } from '../kinds/admin-set.ts'
import type { AdminKeys } from '../kinds/genesis.ts'
import type { Cut } from '../kinds/revocation.ts'
import type { VerifiedRecord } from '../record.ts'

export interface AdminSet {
  readonly record: VerifiedRecord
  readonly keys: ReadonlySet<PeerId>
  readonly threshold: number
  readonly recovery: PeerId
  /** Of the sets on the way here, those that this one ends included. */
  readonly cuts: ReadonlyMap<PeerId, Cut>
  /** Every key that was an admin on the way here. */
  readonly everAdmin: ReadonlySet<PeerId>
  readonly isByRecovery: boolean
  /** How many of the set before signed this one. */
  readonly votes: number
}

export interface AdminSets {
  /** Takes a genesis or admin-set record; answers with the sets that became valid by it, oldest first. */
  learn(record: VerifiedRecord): readonly AdminSet[]
  /** Why the record cannot follow the set that it names; undefined when it can, or when that set is not known yet. */
  objection(record: VerifiedRecord, body: AdminSetBody): string | undefined
  /** True for a key of any valid set, on the winning branch or not. Never becomes false again. */
  wasEverAdmin(peer: PeerId): boolean
  current(): AdminSet | undefined
  /** Sets that compete at a place of the winning branch, when the recovery key has not decided. */
  conflict(): readonly Cid[]
}

export function createAdminSets(): AdminSets {
  const sets = new Map<string, AdminSet>()
  const successors = new Map<string, AdminSet[]>()
  const waiting = new Map<string, VerifiedRecord[]>()
  const ever = new Set<PeerId>()
  let first: AdminSet | undefined
  let winner: { set: AdminSet; conflict: readonly Cid[] } | undefined

  function accept(set: AdminSet): void {
    sets.set(cidKey(set.record.id), set)
    for (const key of set.keys) ever.add(key)
    winner = undefined
  }

  function settle(): { set: AdminSet; conflict: readonly Cid[] } | undefined {
    if (first === undefined || winner !== undefined) return winner
    let set = first
    const conflict: Cid[] = []
    for (;;) {
      const next = successors.get(cidKey(set.record.id))?.toSorted(compareSuccessors)
      const best = next?.[0]
      if (next === undefined || best === undefined) break
      if (next.some((other) => other !== best && other.isByRecovery === best.isByRecovery)) {
        conflict.push(...next.map(({ record }) => record.id))
      }
      set = best
    }
    winner = { set, conflict }
    return winner
  }

  return {
    learn(record) {
      const { content } = record
      if (content.kind === 'genesis') {
        const { admins, recovery } = content.body
        const keys = peersOf(admins)
        first = {
          record,
          keys,
          threshold: admins.threshold,
          recovery: peerIdOf(recovery),
          cuts: new Map(),
          everAdmin: keys,
          isByRecovery: false,
          votes: 0,
        }
        accept(first)
        return [first, ...resolveWaiting(first)]
      }
      if (content.kind !== 'admin-set') return []
      const previousKey = cidKey(content.body.previous)
      const previous = sets.get(previousKey)
      if (previous === undefined) {
        waiting.set(previousKey, [...(waiting.get(previousKey) ?? []), record])
        return []
      }
      return follow(previous, record, content.body)
    },
    objection(record, body) {
      const previous = sets.get(cidKey(body.previous))
      return previous === undefined ? undefined : objectionToSuccessor(previous, record, body)
    },
    wasEverAdmin: (peer) => ever.has(peer),
    current: () => settle()?.set,
    conflict: () => settle()?.conflict ?? [],
  }

  function follow(previous: AdminSet, record: VerifiedRecord, body: AdminSetBody): AdminSet[] {
    if (objectionToSuccessor(previous, record, body) !== undefined) return []
    const keys = peersOf(body.admins)
    const set: AdminSet = {
      record,
      keys,
      threshold: body.admins.threshold,
      recovery: peerIdOf(body.recovery),
      cuts: new Map([...previous.cuts, ...body.cuts.map((cut) => [peerIdOf(cut.key), cut] as const)]),
      everAdmin: new Set([...previous.everAdmin, ...keys]),
      ...votesFor(previous, record),
    }
    const previousKey = cidKey(previous.record.id)
    successors.set(previousKey, [...(successors.get(previousKey) ?? []), set])
    accept(set)
    return [set, ...resolveWaiting(set)]
  }

  function resolveWaiting(set: AdminSet): AdminSet[] {
    const key = cidKey(set.record.id)
    const records = waiting.get(key) ?? []
    waiting.delete(key)
    return records.flatMap((record) =>
      record.content.kind === 'admin-set' ? follow(set, record, record.content.body) : [],
    )
  }
}

function objectionToSuccessor(
  previous: AdminSet,
  record: VerifiedRecord,
  body: AdminSetBody,
): string | undefined {
  const { isByRecovery, votes } = votesFor(previous, record)
  if (!isByRecovery && votes < previous.threshold) {
    return `it is signed by ${votes} of the admins before; ${previous.threshold} are needed, or the recovery key`
  }
  if (!isByRecovery && peerIdOf(body.recovery) !== previous.recovery) {
    return 'only the recovery key may name another recovery key'
  }
  const keys = peersOf(body.admins)
  for (const key of keys)
    if (previous.cuts.has(key)) return `${key} has been an admin and left: it cannot return`
  const leaving = [...previous.keys].filter((key) => !keys.has(key)).sort()
  const cut = body.cuts.map(({ key }) => peerIdOf(key)).sort()
  if (leaving.length !== cut.length || leaving.some((key, i) => key !== cut[i])) {
    return 'its cuts are not exactly the keys that leave'
  }
  return undefined
}

function votesFor(
  previous: AdminSet,
  { issuer, cosigners }: VerifiedRecord,
): { isByRecovery: boolean; votes: number } {
  const signers = [issuer, ...cosigners].map(peerIdOf)
  return {
    isByRecovery: signers.includes(previous.recovery),
    votes: signers.filter((signer) => previous.keys.has(signer)).length,
  }
}

function compareSuccessors(a: AdminSet, b: AdminSet): number {
  return (
    Number(b.isByRecovery) - Number(a.isByRecovery) ||
    b.votes - a.votes ||
    compareBytes(a.record.id.multihash.digest, b.record.id.multihash.digest)
  )
}

function peersOf(admins: AdminKeys): Set<PeerId> {
  return new Set(admins.keys.map(peerIdOf))
}
