/**
 * Builds the state of a mesh from its records, in whatever order they come.
 *
 * Two steps keep it a pure function of the set. Chains (state/chains.ts) decide which records are kept, by rules that
 * only ever let more in. Then every part of the state (a tree, a pin, a member, an invite) is worked out afresh from
 * the kept records about it, whenever one of those arrives or the authority over one of them changes. So `add` costs
 * the size of what it touches, not of the mesh, and equals a fold of everything (a property test holds it to that).
 *
 * Records that wait for others are bounded (state/waiting-room.ts), except within one `addAll`.
 */
import { type Cid, cidKey } from '../block/cid.ts'
import type { ChainTip } from './draft.ts'
import { type PeerId, type PublicKey, peerIdOf } from './key.ts'
import type {
  Admins,
  Alarm,
  Assessment,
  DeclaredSite,
  DeclaredTopology,
  Effect,
  Grant,
  Invite,
  Member,
  MeshState,
  Pin,
  Takedown,
  TreeState,
  Verdict,
} from './mesh-state.ts'
import type { VerifiedRecord } from './record.ts'
import { createAdminSets } from './state/admin-sets.ts'
import { alarmKey, alarmsOf } from './state/alarms.ts'
import { createAuthority } from './state/authority.ts'
import { createChains } from './state/chains.ts'
import { markRecord, nothingDirty } from './state/dirty.ts'
import { appendEncodings } from './state/encodings.ts'
import { evidenceOf } from './state/evidence.ts'
import { appendHead } from './state/fast-head.ts'
import { granteeOf } from './state/grants.ts'
import { createMembership } from './state/membership.ts'
import { objectionTo } from './state/objections.ts'
import { originOf } from './state/origin.ts'
import { createPinRecords } from './state/pins.ts'
import { createSiteRecords } from './state/sites.ts'
import { createSortedIds } from './state/sorted-ids.ts'
import { createTakedownRecords } from './state/takedowns.ts'
import { createTopologyRecords } from './state/topologies.ts'
import { changedTree } from './state/tree-changes.ts'
import { createTreeRecords, fileTreeRecord, type TreeRecords, treeOf } from './state/tree-records.ts'
import { evaluateTree } from './state/tree-state.ts'
import { createVerdictRecords } from './state/verdicts.ts'

export interface AddResult extends Assessment {
  readonly effects: readonly Effect[]
}

export interface MeshStateBuilder {
  /** A live view: what it holds changes as records are added. */
  readonly state: MeshState
  /** What `add` would answer, changing nothing: for refusing a submission before it is stored. */
  assess(record: VerifiedRecord): Assessment
  add(record: VerifiedRecord): AddResult
  /** As `add` for many, worked out once: for loading a log. */
  addAll(records: Iterable<VerifiedRecord>): readonly Effect[]
  /** Kept or waiting. */
  has(id: Cid): boolean
  /** A kept record. */
  get(id: Cid): VerifiedRecord | undefined
  /** All kept records, each after those that it depends on. */
  records(): Iterable<VerifiedRecord>
  /** 32-byte digests of all kept records, rising: what reconciliation compares. */
  ids(): readonly Uint8Array[]
  /** The kept records that the tree's state rests on, encodings aside; not the chains that they need. Empty for none. */
  evidence(tree: string): readonly VerifiedRecord[]
  /** Where an issuer's next record goes on from. Of a forked chain, the tip with the highest counter, then the lowest id. */
  tip(issuer: PublicKey): ChainTip | undefined
  /**
   * What the key is to the mesh: `signer` is a publisher or an admitter, `other` everybody else, members included. A
   * key only ever rises.
   */
  rank(peer: PeerId): 'admin' | 'signer' | 'other'
  /** Records that wait for another, and their bytes; both are bounded. */
  waiting(): { readonly records: number; readonly bytes: number }
}

/** The state that a set of records says. The order and repetitions do not matter. */
export function foldRecords(records: Iterable<VerifiedRecord>, mesh: Cid): MeshState {
  const builder = createMeshStateBuilder(mesh)
  builder.addAll(records)
  return builder.state
}

export function createMeshStateBuilder(mesh: Cid): MeshStateBuilder {
  const adminSets = createAdminSets()
  const chains = createChains(mesh, adminSets)
  const authority = createAuthority(chains, adminSets)
  const membership = createMembership(authority)
  const pinRecords = createPinRecords(authority)
  const takedownRecords = createTakedownRecords(authority)
  const verdictRecords = createVerdictRecords(authority)
  const siteRecords = createSiteRecords(authority)
  const topologyRecords = createTopologyRecords(authority)
  const treeRecords = new Map<string, TreeRecords>()
  const ids = createSortedIds()

  const members = new Map<PeerId, Member>()
  const invites = new Map<string, Invite>()
  const trees = new Map<string, TreeState>()
  const pins = new Map<string, Pin>()
  const removedPins = new Map<string, Pin>()
  const grants = new Map<PeerId, readonly Grant[]>()
  const takedowns = new Map<string, Takedown>()
  const verdicts = new Map<string, Verdict>()
  const sites = new Map<string, DeclaredSite>()
  const revoked = new Set<PeerId>()
  const forkedTrees = new Map<string, TreeState>()
  let admins: Admins | undefined
  let topology: DeclaredTopology | undefined
  let alarms: readonly Alarm[] = []
  let dirty = nothingDirty()

  const state: MeshState = {
    mesh,
    get name() {
      const genesis = chains.get(mesh)?.content
      return genesis?.kind === 'genesis' ? genesis.body.name : undefined
    },
    get admins() {
      return admins
    },
    members,
    invites,
    trees,
    pins,
    removedPins,
    grants,
    sites,
    takedowns,
    verdicts,
    get topology() {
      return topology
    },
    revoked,
    get alarms() {
      return alarms
    },
  }

  function file(record: VerifiedRecord): void {
    ids.add(record.id.multihash.digest)
    authority.learn(record)
    membership.learn(record)
    pinRecords.learn(record)
    siteRecords.learn(record)
    takedownRecords.learn(record)
    verdictRecords.learn(record)
    topologyRecords.learn(record)
    const tree = treeOf(record)
    if (tree !== undefined) fileTreeRecord(recordsOf(tree), record)
  }

  function mark(record: VerifiedRecord): void {
    markRecord(dirty, record)
    const { content, issuerPeer } = record
    if (content.kind === 'revocation') markAllOf(peerIdOf(content.body.key))
    if (content.kind === 'grant') markAllOf(granteeOf(content.body))
    // On a branched chain, a cut takes the branch that holds its last entry: known only when that has come.
    if (chains.isForked(issuerPeer) && hasCuts(issuerPeer)) markAllOf(issuerPeer)
  }

  function hasCuts(peer: PeerId): boolean {
    return authority.cuts(peer).length > 0 || authority.grants.hasCuts(peer)
  }

  function markAllOf(peer: PeerId): void {
    for (const record of chains.of(peer)) markRecord(dirty, record)
  }

  function markEverything(): void {
    for (const name of treeRecords.keys()) dirty.trees.add(name)
    for (const name of pinRecords.names()) dirty.pins.add(name)
    for (const name of siteRecords.names()) dirty.sites.add(name)
    for (const name of takedownRecords.names()) dirty.takedowns.add(name)
    for (const tree of verdictRecords.trees()) dirty.verdicts.add(tree)
    dirty.topology = true
    for (const key of membership.inviteKeys()) dirty.invites.add(key)
    for (const peer of membership.peers()) dirty.peers.add(peer)
    for (const peer of authority.named()) dirty.peers.add(peer)
    for (const peer of authority.grants.peers()) dirty.grantees.add(peer)
  }

  function recordsOf(tree: string): TreeRecords {
    let records = treeRecords.get(tree)
    if (records === undefined) {
      records = createTreeRecords(tree)
      treeRecords.set(tree, records)
    }
    return records
  }

  /** Works out again what is dirty, and says what changed. */
  function settle(): Effect[] {
    const effects: Effect[] = []
    const current = adminSets.current()
    if (current !== undefined && !admins?.origin.record.equals(current.record.id)) {
      admins = {
        keys: [...current.keys].sort(),
        threshold: current.threshold,
        recovery: current.recovery,
        origin: originOf(current.record),
      }
      effects.push({ kind: 'admins' })
      markEverything()
    }
    for (const key of dirty.invites) {
      for (const peer of membership.admittedBy(key)) dirty.peers.add(peer)
      const invite = membership.invite(key)
      const text = invite?.id.toString()
      if (invite === undefined || text === undefined) {
        const gone = [...invites].find(([, { id }]) => cidKey(id) === key)?.[0]
        if (gone !== undefined && invites.delete(gone)) effects.push({ kind: 'invite', invite: gone })
        continue
      }
      const before = invites.get(text)
      invites.set(text, invite)
      if (
        before === undefined ||
        before.usedBy !== invite.usedBy ||
        before.isWithdrawn !== invite.isWithdrawn
      )
        effects.push({ kind: 'invite', invite: text })
    }
    for (const peer of dirty.peers) settlePeer(peer, effects)
    for (const name of dirty.trees) moveTree(name, evaluateTree(recordsOf(name), authority), effects)
    for (const name of dirty.pins) {
      const before = pins.get(name) ?? removedPins.get(name)
      const after = pinRecords.pin(name)
      pins.delete(name)
      removedPins.delete(name)
      if (after !== undefined) (after.body.removed ? removedPins : pins).set(name, after)
      if (!isSameOrigin(before, after)) effects.push({ kind: 'pin', pin: name })
    }
    for (const peer of dirty.grantees) settleGrants(peer, effects)
    for (const name of dirty.takedowns) {
      if (isMoved(takedowns, name, takedownRecords.takedown(name)))
        effects.push({ kind: 'takedown', takedown: name })
    }
    for (const tree of dirty.verdicts) {
      if (isMoved(verdicts, tree, verdictRecords.verdict(tree))) effects.push({ kind: 'verdict', tree })
    }
    for (const name of dirty.sites) {
      const before = sites.get(name)
      const after = siteRecords.site(name)
      if (after === undefined) sites.delete(name)
      else sites.set(name, after)
      // An admin's labels can come after what an operator said later.
      const isSame = before?.body.labels.join() === after?.body.labels.join()
      if (!isSame || !isSameOrigin(before, after)) effects.push({ kind: 'site', site: name })
    }
    if (dirty.topology) {
      const before = topology
      topology = topologyRecords.newest()
      if (!isSameOrigin(before, topology)) effects.push({ kind: 'topology' })
    }
    dirty = nothingDirty()
    const known = new Set(alarms.map(alarmKey))
    alarms = alarmsOf(chains, adminSets, authority, forkedTrees.values())
    for (const alarm of alarms) if (!known.has(alarmKey(alarm))) effects.push({ kind: 'alarm', alarm })
    return effects
  }

  function settlePeer(peer: PeerId, effects: Effect[]): void {
    const isRevoked = authority.isRevoked(peer)
    if (isRevoked !== revoked.has(peer)) {
      if (isRevoked) revoked.add(peer)
      else revoked.delete(peer)
      effects.push({ kind: 'revoked', peer })
    }
    const before = members.get(peer)
    const after = membership.member(peer)
    if (after === undefined) members.delete(peer)
    else members.set(peer, after)
    if (!isSameOrigin(before, after) || before?.isActive !== after?.isActive)
      effects.push({ kind: 'member', peer })
  }

  function settleGrants(peer: PeerId, effects: Effect[]): void {
    const before = grants.get(peer) ?? []
    const after = authority.grants.of(peer)
    if (after.length === 0) grants.delete(peer)
    else grants.set(peer, after)
    if (before.length !== after.length || after.some((grant, i) => !isSameOrigin(grant, before[i])))
      effects.push({ kind: 'grant', peer })
  }

  function moveTree(name: string, after: TreeState | undefined, effects: Effect[]): void {
    const before = trees.get(name)
    if (after === undefined) trees.delete(name)
    else trees.set(name, after)
    if (after?.fork === undefined) forkedTrees.delete(name)
    else forkedTrees.set(name, after)
    for (const effect of changedTree(name, before, after)) effects.push(effect)
  }

  function takeIn(records: Iterable<VerifiedRecord>): Effect[] {
    const added: VerifiedRecord[] = []
    for (const record of records) {
      for (const kept of chains.add(record)) {
        file(kept)
        added.push(kept)
      }
    }
    chains.trimWaiting()
    const effects: Effect[] = added.map(({ id }) => ({ kind: 'kept', record: id }))
    const [only] = added
    if (only === undefined || (added.length === 1 && goOnAtTree(only, effects))) return effects
    for (const kept of added) mark(kept)
    return effects.concat(settle())
  }

  /** The usual single head, or encodings of one; false when the state must be worked out in full. */
  function goOnAtTree(record: VerifiedRecord, effects: Effect[]): boolean {
    const tree = treeOf(record)
    if (tree === undefined || chains.isForked(record.issuerPeer)) return false
    const before = trees.get(tree)
    const after =
      appendHead(before, recordsOf(tree), record, authority) ??
      appendEncodings(before, recordsOf(tree), record, authority)
    if (after !== undefined) moveTree(tree, after, effects)
    return after !== undefined
  }

  function assess(record: VerifiedRecord): Assessment {
    const link = chains.assess(record)
    if (link.verdict !== 'keep') return { verdict: link.verdict, reason: link.reason }
    const objection = objectionTo(record, {
      admins: adminSets,
      authority,
      membership,
      state,
      pins: pinRecords,
      treeRecords: (tree) => treeRecords.get(tree) ?? createTreeRecords(tree),
    })
    return objection === undefined
      ? { verdict: 'effective', reason: '' }
      : { verdict: 'idle', reason: objection }
  }

  return {
    state,
    assess,
    add(record) {
      const assessment = assess(record)
      const { verdict } = assessment
      if (verdict === 'duplicate' || verdict === 'refused') return { ...assessment, effects: [] }
      return { ...assessment, effects: takeIn([record]) }
    },
    addAll: takeIn,
    has: (id) => chains.has(id),
    get: (id) => chains.get(id),
    records: () => chains.records(),
    ids: () => ids.list(),
    evidence(name) {
      const tree = trees.get(name)
      return tree === undefined
        ? []
        : evidenceOf(tree, recordsOf(name), { adminSets, authority, chains, members })
    },
    tip: (issuer) => chains.tip(issuer),
    rank: (peer) => (chains.wasEverAdmin(peer) ? 'admin' : chains.maySign(peer) ? 'signer' : 'other'),
    waiting: () => chains.waiting(),
  }
}

/** Puts it there, or takes away what was there. Whether that changed anything. */
function isMoved<T extends { readonly origin: { readonly record: Cid } }>(
  all: Map<string, T>,
  name: string,
  after: T | undefined,
): boolean {
  const before = all.get(name)
  if (after === undefined) all.delete(name)
  else all.set(name, after)
  return !isSameOrigin(before, after)
}

function isSameOrigin(
  a: { readonly origin: { readonly record: Cid } } | undefined,
  b: { readonly origin: { readonly record: Cid } } | undefined,
): boolean {
  return a === undefined || b === undefined ? a === b : a.origin.record.equals(b.origin.record)
}
