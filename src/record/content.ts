/**
 * The kinds of records, in one table. What a kind means for the mesh's state is in state/; here is only its shape.
 *
 * A kind that this version does not know, or a body of a known kind in a form that it does not know, becomes
 * `unknown`: such a record is kept, relayed and keeps its place in its issuer's chain, and has no effect. So a mesh
 * can be upgraded site by site, and what an old node does not understand it does not half-apply.
 */
import { isMirrorError } from '../base/errors.ts'
import { isPlainMap } from './fields.ts'
import { KEY_BYTES, type PublicKey } from './key.ts'
import { type AdminSetBody, decodeAdminSet } from './kinds/admin-set.ts'
import { decodeEncodingsBody, type EncodingsBody } from './kinds/encodings.ts'
import { decodeEpoch, type EpochBody } from './kinds/epoch.ts'
import { decodeGenesis, type GenesisBody } from './kinds/genesis.ts'
import { decodeGrant, type GrantBody } from './kinds/grant.ts'
import { decodeHead, type HeadBody } from './kinds/head.ts'
import { decodeInvite, type InviteBody } from './kinds/invite.ts'
import { decodeMember, type MemberBody } from './kinds/member.ts'
import { decodePin, type PinBody } from './kinds/pin.ts'
import { decodeRevocation, type RevocationBody } from './kinds/revocation.ts'
import { decodeSite, type SiteBody } from './kinds/site.ts'
import { decodeTag, type TagBody } from './kinds/tag.ts'
import { decodeTakedown, type TakedownBody } from './kinds/takedown.ts'
import { decodeTopologyBody, type TopologyBody } from './kinds/topology.ts'
import { decodeTree, type TreeBody } from './kinds/tree.ts'
import { decodeVerdict, type VerdictBody } from './kinds/verdict.ts'
import { decodeWithdrawal, type WithdrawalBody } from './kinds/withdrawal.ts'

export interface Bodies {
  readonly 'admin-set': AdminSetBody
  readonly encodings: EncodingsBody
  readonly epoch: EpochBody
  readonly genesis: GenesisBody
  readonly grant: GrantBody
  readonly head: HeadBody
  readonly invite: InviteBody
  readonly member: MemberBody
  readonly pin: PinBody
  readonly revocation: RevocationBody
  readonly site: SiteBody
  readonly tag: TagBody
  readonly takedown: TakedownBody
  readonly topology: TopologyBody
  readonly tree: TreeBody
  readonly verdict: VerdictBody
  readonly withdrawal: WithdrawalBody
}

export type Kind = keyof Bodies
export type KnownContent = { [K in Kind]: { readonly kind: K; readonly body: Bodies[K] } }[Kind]
export interface UnknownContent {
  readonly kind: 'unknown'
  /** Why it has no effect: the kind is unknown, or which field is. */
  readonly reason: string
  /**
   * Keys under `grants` of the body: when an admin signs the record, what they sign is kept and relayed. So a later
   * version can give keys new powers, and nodes of this one still pass on what those keys say.
   */
  readonly grants: readonly PublicKey[]
}
export type Content = KnownContent | UnknownContent

const MAX_GRANTS = 64

const DECODERS: { readonly [K in Kind]: (value: unknown) => Bodies[K] } = {
  'admin-set': decodeAdminSet,
  encodings: decodeEncodingsBody,
  epoch: decodeEpoch,
  genesis: decodeGenesis,
  grant: decodeGrant,
  head: decodeHead,
  invite: decodeInvite,
  member: decodeMember,
  pin: decodePin,
  revocation: decodeRevocation,
  site: decodeSite,
  tag: decodeTag,
  takedown: decodeTakedown,
  topology: decodeTopologyBody,
  tree: decodeTree,
  verdict: decodeVerdict,
  withdrawal: decodeWithdrawal,
}

export const KINDS: readonly string[] = Object.keys(DECODERS)

export function isKind(kind: string): kind is Kind {
  return Object.hasOwn(DECODERS, kind)
}

/** The checked body of a known kind. @throws MirrorError `corrupt` naming the field */
export function decodeBody<K extends Kind>(kind: K, value: unknown): Bodies[K] {
  return DECODERS[kind](value)
}

export function decodeContent(kind: string, value: unknown): Content {
  if (!isKind(kind)) {
    return {
      kind: 'unknown',
      reason: `this version does not know the kind ${JSON.stringify(kind)}`,
      grants: readGrants(value),
    }
  }
  try {
    return { kind, body: decodeBody(kind, value) } as KnownContent
  } catch (error) {
    if (!isMirrorError(error)) throw error
    return { kind: 'unknown', reason: error.message, grants: readGrants(value) }
  }
}

function readGrants(value: unknown): PublicKey[] {
  const grants = isPlainMap(value) ? value.grants : undefined
  if (!Array.isArray(grants) || grants.length > MAX_GRANTS) return []
  return grants.filter((key): key is PublicKey => key instanceof Uint8Array && key.length === KEY_BYTES)
}
