/**
 * Which records belong to the mesh. A record is kept when its issuer has a standing and the record before it in its
 * issuer's chain is kept; else it waits. Kept records are never dropped, effect or not, so the kept set is the same at
 * every node whatever the order of arrival, and reconciliation ends.
 *
 * A standing is given by kept records and never lost: admins by genesis and admin-sets; the keys that an admin names
 * in a member, invite, tree, epoch or grant record (or under `grants` in a kind of a later version); the node that an
 * invite's admitter lets in. It is the right to be stored and relayed, not to have any effect. How much of it is kept is
 * the caller's to bound, by `maySign`: of a key that nobody lets sign anything, nothing is needed.
 *
 * A chain may fork (a key used at two places, or restored from a backup): both branches are kept.
 */
import { compareBytes, equalBytes } from '../../base/bytes.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import type { ChainTip } from '../draft.ts'
import { type PeerId, type PublicKey, peerIdOf } from '../key.ts'
import type { VerifiedRecord } from '../record.ts'
import type { AdminSets } from './admin-sets.ts'
import { createWaitingRoom, type WaitingRoom } from './waiting-room.ts'

/** Records that an alarm or a fork shows; there may be more. */
export const MAX_EVIDENCE = 16

export interface LinkVerdict {
  readonly verdict: 'keep' | 'waiting' | 'duplicate' | 'refused'
  readonly reason: string
}

export interface Chains {
  get(id: Cid): VerifiedRecord | undefined
  /** All that are kept, in the order in which they could be. */
  records(): Iterable<VerifiedRecord>
  has(id: Cid): boolean
  assess(record: VerifiedRecord): LinkVerdict
  /** Adds a record; answers with all that are kept now and were not before, each after the one it names as `prev`. */
  add(record: VerifiedRecord): readonly VerifiedRecord[]
  /** Kept records of an issuer. */
  of(peer: PeerId): readonly VerifiedRecord[]
  /** Issuers whose chain forks. */
  forked(): Iterable<PeerId>
  tip(issuer: PublicKey): ChainTip | undefined
  isForked(peer: PeerId): boolean
  /** True when the key is, or was, an admin, publisher or admitter, or an admin granted it something unknown. */
  maySign(peer: PeerId): boolean
  wasEverAdmin(peer: PeerId): boolean
  /** Records at the lowest place where the issuer's chain forks, rising; empty when it does not. */
  fork(peer: PeerId): readonly Cid[]
  /** Keys of a kept record and all before it in its chain. */
  ancestors(id: Cid): ReadonlySet<string> | undefined
  trimWaiting(): void
  waiting(): { records: number; bytes: number }
}

interface Chain {
  readonly records: VerifiedRecord[]
  /** By key of `prev`, '' for the first. */
  readonly next: Map<string, VerifiedRecord[]>
  fork: readonly VerifiedRecord[]
  tip: VerifiedRecord | undefined
}

export function createChains(mesh: Cid, admins: AdminSets): Chains {
  const kept = new Map<string, VerifiedRecord>()
  const chains = new Map<PeerId, Chain>()
  const forked = new Set<PeerId>()
  const standing = new Set<PeerId>()
  const signers = new Set<PeerId>()
  const admissions = new Map<string, VerifiedRecord[]>()
  const known = createWaitingRoom({ maxRecords: 16_384, maxBytes: 32 * 1024 * 1024 })
  const strangers = createWaitingRoom({ maxRecords: 4096, maxBytes: 8 * 1024 * 1024 })
  const ancestorSets = new Map<string, ReadonlySet<string>>()

  function assess(record: VerifiedRecord): LinkVerdict {
    const { id, prev, content } = record
    if (kept.has(cidKey(id)) || known.has(id) || strangers.has(id)) {
      return { verdict: 'duplicate', reason: 'it is known already' }
    }
    if (record.mesh === null) {
      if (!id.equals(mesh)) return refused('it begins another mesh')
      if (content.kind === 'unknown') {
        return refused(`this node cannot read the genesis of its mesh: ${content.reason}`)
      }
      if (content.kind !== 'genesis') return refused('only a genesis is of no mesh')
      if (!content.body.admins.keys.some((key) => equalBytes(key, record.issuer))) {
        return refused('a genesis is signed by one of its admins')
      }
      if (record.counter !== 1) return refused("a genesis is its issuer's first record")
      return { verdict: 'keep', reason: '' }
    }
    if (!record.mesh.equals(mesh)) return refused('it belongs to another mesh')
    const before = prev === null ? undefined : kept.get(cidKey(prev))
    if (before !== undefined && before.issuerPeer !== record.issuerPeer) {
      return refused("the record before it is not of the same issuer's chain")
    }
    if (before !== undefined && before.counter + 1 !== record.counter) {
      return refused(`it has counter ${record.counter}, after a record with ${before.counter}`)
    }
    if (!standing.has(record.issuerPeer)) {
      return {
        verdict: 'waiting',
        reason: 'no record that has arrived gives its issuer a standing in the mesh',
      }
    }
    if (prev !== null && before === undefined) {
      return { verdict: 'waiting', reason: "the record before it in its issuer's chain has not arrived" }
    }
    return { verdict: 'keep', reason: '' }
  }

  function wait(record: VerifiedRecord): void {
    if (!standing.has(record.issuerPeer)) strangers.add(record, record.issuerPeer)
    else if (record.prev !== null) known.add(record, cidKey(record.prev))
  }

  function keep(record: VerifiedRecord): void {
    kept.set(cidKey(record.id), record)
    let chain = chains.get(record.issuerPeer)
    if (chain === undefined) {
      chain = { records: [], next: new Map(), fork: [], tip: undefined }
      chains.set(record.issuerPeer, chain)
    }
    chain.records.push(record)
    const place = record.prev === null ? '' : cidKey(record.prev)
    const siblings = pushTo(chain.next, place, record)
    if (siblings.length > 1) forked.add(record.issuerPeer)
    if (siblings.length > 1 && !isLater(siblings, chain.fork)) chain.fork = siblings
    if (chain.tip === undefined || compareTips(record, chain.tip) > 0) chain.tip = record
    if (record.content.kind === 'member' && record.content.body.invite !== null) {
      pushTo(admissions, cidKey(record.content.body.invite), record)
    }
  }

  /** Keys that get a standing by `record`; more may follow when an invite or an admin's rank arrives after it. */
  function grants(record: VerifiedRecord): PeerId[] {
    const newAdmins = admins.learn(record)
    const peers: PeerId[] = []
    for (const set of newAdmins) {
      peers.push(...set.keys, set.recovery)
      for (const key of set.keys) {
        for (const older of chains.get(key)?.records ?? []) peers.push(...named(older))
      }
    }
    return peers.concat(named(record))
  }

  function named(record: VerifiedRecord): PeerId[] {
    const { content } = record
    if (admins.wasEverAdmin(record.issuerPeer)) for (const peer of signersIn(content)) signers.add(peer)
    if (content.kind === 'member' && content.body.invite !== null) {
      const invite = kept.get(cidKey(content.body.invite))
      const isAdmitter =
        invite?.content.kind === 'invite' &&
        admins.wasEverAdmin(invite.issuerPeer) &&
        equalBytes(invite.content.body.admitter, record.issuer)
      return isAdmitter ? [peerIdOf(content.body.peer)] : []
    }
    if (!admins.wasEverAdmin(record.issuerPeer)) return []
    switch (content.kind) {
      case 'member':
        return [peerIdOf(content.body.peer)]
      case 'invite':
        return [
          peerIdOf(content.body.admitter),
          ...(admissions.get(cidKey(record.id)) ?? []).flatMap((admission) => named(admission)),
        ]
      case 'tree':
        return content.body.publishers.map(peerIdOf)
      case 'epoch':
        return [peerIdOf(content.body.publisher)]
      case 'grant':
        return content.body.grants.map(peerIdOf)
      case 'unknown':
        return content.grants.map(peerIdOf)
      default:
        return []
    }
  }

  return {
    get: (id) => kept.get(cidKey(id)),
    records: () => kept.values(),
    has: (id) => kept.has(cidKey(id)) || known.has(id) || strangers.has(id),
    assess,
    add(first) {
      const added: VerifiedRecord[] = []
      const queue = [first]
      for (let record = queue.pop(); record !== undefined; record = queue.pop()) {
        const { verdict } = assess(record)
        if (verdict === 'waiting') wait(record)
        if (verdict !== 'keep') continue
        keep(record)
        added.push(record)
        for (const next of known.take(cidKey(record.id))) queue.push(next)
        for (const peer of grants(record)) {
          if (standing.has(peer)) continue
          standing.add(peer)
          for (const waiting of strangers.take(peer)) queue.push(waiting)
        }
      }
      return added
    },
    of: (peer) => chains.get(peer)?.records ?? [],
    forked: () => forked,
    tip(issuer) {
      const tip = chains.get(peerIdOf(issuer))?.tip
      return tip === undefined ? undefined : { counter: tip.counter, id: tip.id }
    },
    isForked: (peer) => (chains.get(peer)?.fork.length ?? 0) > 0,
    maySign: (peer) => signers.has(peer) || admins.wasEverAdmin(peer),
    wasEverAdmin: (peer) => admins.wasEverAdmin(peer),
    fork(peer) {
      const ids = (chains.get(peer)?.fork ?? []).map(({ id }) => id)
      return ids.sort(compareIds).slice(0, MAX_EVIDENCE)
    },
    ancestors(id) {
      const key = cidKey(id)
      const made = ancestorSets.get(key)
      if (made !== undefined) return made
      const keys = new Set<string>()
      for (let record = kept.get(key); record !== undefined; ) {
        keys.add(cidKey(record.id))
        record = record.prev === null ? undefined : kept.get(cidKey(record.prev))
      }
      if (keys.size === 0) return undefined
      ancestorSets.set(key, keys)
      return keys
    },
    trimWaiting() {
      known.trim()
      strangers.trim()
    },
    waiting: () => total(known, strangers),
  }
}

export function compareIds(a: Cid, b: Cid): number {
  return compareBytes(a.multihash.digest, b.multihash.digest)
}

/** Appends to the list at `key`, and returns the list. */
export function pushTo<T>(lists: Map<string, T[]>, key: string, value: T): T[] {
  const list = lists.get(key)
  if (list !== undefined) {
    list.push(value)
    return list
  }
  const made = [value]
  lists.set(key, made)
  return made
}

/** Keys that a record of an admin lets sign records of their own. */
function signersIn(content: VerifiedRecord['content']): PeerId[] {
  switch (content.kind) {
    case 'invite':
      return [peerIdOf(content.body.admitter)]
    case 'tree':
      return content.body.publishers.map(peerIdOf)
    case 'epoch':
      return [peerIdOf(content.body.publisher)]
    case 'grant':
      return content.body.role === 'reader' ? [] : content.body.grants.map(peerIdOf)
    case 'unknown':
      return content.grants.map(peerIdOf)
    default:
      return []
  }
}

/** The lowest forked place is the one shown: by counter, then by the id before it. */
function isLater(siblings: readonly VerifiedRecord[], fork: readonly VerifiedRecord[]): boolean {
  const a = siblings[0]!
  const b = fork[0]
  if (b === undefined) return false
  if (a.counter !== b.counter) return a.counter > b.counter
  return a.prev !== null && b.prev !== null && compareIds(a.prev, b.prev) > 0
}

function compareTips(a: VerifiedRecord, b: VerifiedRecord): number {
  return a.counter - b.counter || compareIds(b.id, a.id)
}

function refused(reason: string): LinkVerdict {
  return { verdict: 'refused', reason }
}

function total(a: WaitingRoom, b: WaitingRoom): { records: number; bytes: number } {
  return { records: a.records + b.records, bytes: a.bytes + b.bytes }
}
