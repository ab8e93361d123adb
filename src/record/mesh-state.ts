/**
 * The state of a mesh: what the set of its records says, whatever the order in which they came. Plain data; built by
 * MeshStateBuilder (mesh-state-builder.ts), which is also where `foldRecords` is. Keys of maps are printed forms:
 * PeerIds, names of trees, CIDs as text.
 */
import { matchesTree } from '../base/names.ts'
import { type Cid, cidKey } from '../block/cid.ts'
import { type PeerId, type PublicKey, peerIdOf } from './key.ts'
import type { EncodingsBody } from './kinds/encodings.ts'
import type { GrantBody } from './kinds/grant.ts'
import type { InviteBody } from './kinds/invite.ts'
import type { LabelledPlace, PinBody } from './kinds/pin.ts'
import type { SiteBody } from './kinds/site.ts'
import type { TagBody } from './kinds/tag.ts'
import type { TakedownBody } from './kinds/takedown.ts'
import type { TopologyBody } from './kinds/topology.ts'
import type { TreeBody } from './kinds/tree.ts'
import type { VerdictBody } from './kinds/verdict.ts'

type Place = Pick<LabelledPlace, 'region' | 'site'>

/** Who said it, in which record. */
export interface Origin {
  readonly record: Cid
  readonly issuer: PeerId
  readonly timeMs: number
}

export interface Admins {
  readonly keys: readonly PeerId[]
  readonly threshold: number
  readonly recovery: PeerId
  /** The genesis or admin-set record that made it so; what the next admin-set names as `previous`. */
  readonly origin: Origin
}

export interface Member {
  readonly peer: PeerId
  readonly key: PublicKey
  readonly site: string
  readonly region: string
  readonly roles: readonly string[]
  /** Null: until revoked. Compare with the wall clock where it matters; the state has no clock. */
  readonly expiresMs: number | null
  readonly version: number
  /** False once the node's key is revoked. */
  readonly isActive: boolean
  /** The invite it came by, as CID text. */
  readonly invite: string | undefined
  readonly origin: Origin
}

export interface Invite {
  readonly id: Cid
  readonly admitter: PeerId
  readonly body: InviteBody
  /** The node that it let in; undefined while it is open (its expiry is for the caller's clock to judge). */
  readonly usedBy: PeerId | undefined
  /** An admin took it back: it admits nobody. */
  readonly isWithdrawn: boolean
  readonly origin: Origin
}

export interface Head {
  /** Id of the head record: what the next head names as `previous`. */
  readonly id: Cid
  readonly tree: string
  readonly epoch: number
  readonly sequence: number
  readonly snapshot: Cid
  readonly previous: Cid | null
  readonly publisher: PeerId
  readonly timeMs: number
  readonly counts: Readonly<Record<string, number>>
}

export interface Epoch {
  readonly id: Cid
  readonly epoch: number
  readonly publisher: PeerId
  /** The head that the epoch goes on from. */
  readonly base: Cid | null
  /** By the publisher's own record: each head needs its grant, and an admin's next epoch does not. */
  readonly isByGrant: boolean
  readonly origin: Origin
}

export interface Tag {
  readonly body: TagBody
  readonly origin: Origin
}

/** What its publisher says of the deltas of a snapshot against one base. */
export interface SnapshotEncodings {
  readonly body: EncodingsBody
  /** Of the newest head before the snapshot's that published the base. */
  readonly baseSequence: number
  readonly origin: Origin
}

export interface TreeState {
  readonly name: string
  readonly body: TreeBody
  readonly origin: Origin
  /** The active one: the highest whose chain is whole and undisputed. Undefined when the tree has no publisher yet. */
  readonly epoch: Epoch | undefined
  /** Good heads, oldest first, back to the tree's first: sequences 1, 2, 3... */
  readonly history: readonly Head[]
  /** The last good head; the last of `history`. */
  readonly newest: Head | undefined
  /**
   * Two heads at one place, or two epochs of one number: the tree stays at `newest` until an admin's next epoch names
   * the head to go on from. Sites that are already further keep what they have.
   */
  readonly fork: Fork | undefined
  /** By snapshot; of each the one with the newest base first. */
  readonly encodings: ReadonlyMap<string, readonly SnapshotEncodings[]>
  /** Those that are not removed, by name. */
  readonly tags: ReadonlyMap<string, Tag>
  /** Tombstones: a new tag of that name has the next version. */
  readonly removedTags: ReadonlyMap<string, Tag>
}

export interface Fork {
  readonly kind: 'heads' | 'epochs'
  readonly epoch: number
  /** Of the disputed place; undefined when epochs are in dispute. */
  readonly sequence: number | undefined
  /** Ids of the records in dispute, rising. */
  readonly records: readonly Cid[]
  /** The end of each branch: what `tree resolve-fork` offers as the base of the next epoch. */
  readonly tips: readonly Head[]
}

export interface Pin {
  readonly body: PinBody
  readonly origin: Origin
}

export interface Grant {
  readonly peer: PeerId
  /** The newest version: a tombstone when `removed`. Compare `expiresMs` with the wall clock where it matters. */
  readonly body: GrantBody
  readonly origin: Origin
}

/** What is said of a site beside its membership. */
export interface DeclaredSite {
  readonly body: SiteBody
  readonly origin: Origin
}

export interface Takedown {
  readonly body: TakedownBody
  readonly origin: Origin
}

export interface Verdict {
  readonly body: VerdictBody
  readonly origin: Origin
}

export interface DeclaredTopology {
  readonly body: TopologyBody
  readonly origin: Origin
}

/** A problem that an operator must see. It has no number and no time: the same set of records gives the same alarms. */
export interface Alarm {
  readonly kind: 'head-fork' | 'epoch-conflict' | 'chain-fork' | 'admin-set-conflict'
  /** What it is about: a tree's name, or the PeerId of an issuer. */
  readonly subject: string
  readonly message: string
  /** The evidence. */
  readonly records: readonly Cid[]
}

export interface MeshState {
  readonly mesh: Cid
  /** Undefined until the genesis has arrived; then the mesh's name. */
  readonly name: string | undefined
  readonly admins: Admins | undefined
  readonly members: ReadonlyMap<PeerId, Member>
  readonly invites: ReadonlyMap<string, Invite>
  readonly trees: ReadonlyMap<string, TreeState>
  /** Those that are not removed, by name. */
  readonly pins: ReadonlyMap<string, Pin>
  /** Tombstones: a new pin of that name has the next version. */
  readonly removedPins: ReadonlyMap<string, Pin>
  /** By the key that has them, in the order of roles and names; tombstones too. */
  readonly grants: ReadonlyMap<PeerId, readonly Grant[]>
  /** By the site's name; of a site of which nothing is said there is none. */
  readonly sites: ReadonlyMap<string, DeclaredSite>
  /** By name, those that were lifted included. */
  readonly takedowns: ReadonlyMap<string, Takedown>
  /** By tree: the newest of each, whether or not anything waits for it. */
  readonly verdicts: ReadonlyMap<string, Verdict>
  /** Undefined as long as no admin has declared one. */
  readonly topology: DeclaredTopology | undefined
  readonly revoked: ReadonlySet<PeerId>
  readonly alarms: readonly Alarm[]
}

/** Something changed: told once, in no promised order within one call. */
export type Effect =
  /** The record belongs to the mesh now: it is in `ids()`, must be kept and may be relayed. */
  | { readonly kind: 'kept'; readonly record: Cid }
  | { readonly kind: 'head'; readonly tree: string; readonly head: Head }
  | { readonly kind: 'tree'; readonly tree: string }
  | { readonly kind: 'pin'; readonly pin: string }
  | { readonly kind: 'tag'; readonly tree: string; readonly tag: string }
  | { readonly kind: 'encodings'; readonly tree: string; readonly snapshot: string }
  | { readonly kind: 'member'; readonly peer: PeerId }
  | { readonly kind: 'invite'; readonly invite: string }
  | { readonly kind: 'grant'; readonly peer: PeerId }
  | { readonly kind: 'revoked'; readonly peer: PeerId }
  | { readonly kind: 'admins' }
  | { readonly kind: 'site'; readonly site: string }
  | { readonly kind: 'takedown'; readonly takedown: string }
  | { readonly kind: 'verdict'; readonly tree: string }
  | { readonly kind: 'topology' }
  | { readonly kind: 'alarm'; readonly alarm: Alarm }

/**
 * What a record would do if it were added now.
 * - effective: it has an effect, or would have one if it were not superseded
 * - idle: kept and relayed, without effect (reason says why: no authority, unknown kind, a second use of an invite)
 * - waiting: the record before it, or what gives its issuer a standing, has not arrived
 * - duplicate: known already
 * - refused: it can never belong here
 */
export interface Assessment {
  readonly verdict: 'effective' | 'idle' | 'waiting' | 'duplicate' | 'refused'
  readonly reason: string
}

/** Whether the peer is a member at `nowMs`: admitted, not revoked, not expired. */
export function isMemberAt(state: MeshState, peer: PeerId, nowMs: number): boolean {
  const member = state.members.get(peer)
  return member?.isActive === true && (member.expiresMs === null || nowMs < member.expiresMs)
}

/** Grants of the key that are in force at `nowMs`. */
export function grantsAt(state: MeshState, peer: PeerId, nowMs: number): readonly Grant[] {
  if (state.revoked.has(peer)) return []
  return (state.grants.get(peer) ?? []).filter(
    ({ body }) => !body.removed && (body.expiresMs === null || nowMs <= body.expiresMs),
  )
}

/**
 * Whether the node may have the tree's directory names and bytes at `nowMs`. Every member may unless the tree is private;
 * then those that publish it, and members with a reader's grant. False for a tree that is not known.
 */
export function mayRead(state: MeshState, tree: string, peer: PeerId, nowMs: number): boolean {
  const found = state.trees.get(tree)
  if (found === undefined || state.revoked.has(peer)) return false
  if (found.body.readers === 'members') return isMemberAt(state, peer, nowMs)
  if (found.epoch?.publisher === peer || publishersOf(found.body).has(peer)) return true
  return (
    isMemberAt(state, peer, nowMs) &&
    grantsAt(state, peer, nowMs).some(
      ({ body }) => body.role === 'reader' && body.trees.some((pattern) => matchesTree(pattern, tree)),
    )
  )
}

/** Snapshots of the tree that are named by a takedown in force, as the keys of their CIDs. */
export function takenDown(state: Pick<MeshState, 'takedowns'>, tree: string): ReadonlySet<string> {
  const keys = new Set<string>()
  for (const { body } of state.takedowns.values()) {
    if (body.tree !== tree || body.removed) continue
    for (const snapshot of body.snapshots) keys.add(cidKey(snapshot))
  }
  return keys
}

/** The newest head that no takedown names: where sites stand. */
export function newestStanding(
  state: Pick<MeshState, 'takedowns'>,
  { name, history }: Pick<TreeState, 'history' | 'name'>,
): Head | undefined {
  const gone = takenDown(state, name)
  return gone.size === 0 ? history.at(-1) : history.findLast(({ snapshot }) => !gone.has(cidKey(snapshot)))
}

/** Asked for each block of a private tree, and for each member: printing a key takes longer than all else. */
const publishers = new WeakMap<TreeBody, ReadonlySet<PeerId>>()

function publishersOf(body: TreeBody): ReadonlySet<PeerId> {
  const known = publishers.get(body) ?? new Set(body.publishers.map((key) => peerIdOf(key)))
  publishers.set(body, known)
  return known
}

/** Whether all who may read the tree called `inner` may read `outer` as well, at `nowMs`. */
export function readersInclude(state: MeshState, outer: string, inner: string, nowMs: number): boolean {
  const found = state.trees.get(inner)
  const other = state.trees.get(outer)
  if (found === undefined || other === undefined) return false
  if (found.body.readers === 'members') return other.body.readers === 'members'
  const readers = new Set([
    ...publishersOf(found.body),
    ...(found.epoch === undefined ? [] : [found.epoch.publisher]),
    ...[...state.grants.keys()].filter((peer) => mayRead(state, inner, peer, nowMs)),
  ])
  return [...readers].every((peer) => mayRead(state, outer, peer, nowMs))
}

/** A site with all by which a pin may name it. */
export function placeOf(state: Pick<MeshState, 'sites'>, { site, region }: Place): LabelledPlace {
  return { site, region, labels: state.sites.get(site)?.body.labels ?? [] }
}

/** It is on its way out of service: it keeps and serves what it has, and takes nothing new. */
export function isDrained(state: Pick<MeshState, 'sites'>, site: string): boolean {
  return state.sites.get(site)?.body.drained === true
}

/** Invites under which `admitter` may still let a node in. */
export function openInvites(state: MeshState, admitter: PeerId, nowMs: number): readonly Invite[] {
  return [...state.invites.values()].filter(
    (invite) =>
      invite.admitter === admitter &&
      invite.usedBy === undefined &&
      !invite.isWithdrawn &&
      nowMs <= invite.body.expiresMs,
  )
}
