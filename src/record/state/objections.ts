/** Why a record that is kept, or is about to be, has no effect as things stand. For messages and refusals. */
import { cidKey } from '../../block/cid.ts'
import { peerIdOf } from '../key.ts'
import type { EpochBody } from '../kinds/epoch.ts'
import type { GrantBody } from '../kinds/grant.ts'
import type { HeadBody } from '../kinds/head.ts'
import type { MeshState, TreeState } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { AdminSets } from './admin-sets.ts'
import type { Authority } from './authority.ts'
import { encodingsObjection } from './encodings.ts'
import { granteeOf } from './grants.ts'
import type { Membership } from './membership.ts'
import type { PinRecords } from './pins.ts'
import { siteObjection } from './sites.ts'
import { declarationObjection, declarations, publishersOf } from './tree-declarations.ts'
import { isOwnBeginning } from './tree-epochs.ts'
import type { TreeRecords } from './tree-records.ts'
import { tagObjection } from './tree-state.ts'

export interface Judges {
  readonly admins: AdminSets
  readonly authority: Authority
  readonly membership: Membership
  readonly state: MeshState
  readonly pins: PinRecords
  treeRecords(tree: string): TreeRecords
}

export function objectionTo(record: VerifiedRecord, judges: Judges): string | undefined {
  const { authority, admins, membership, state } = judges
  const { content } = record
  switch (content.kind) {
    case 'genesis':
      return undefined
    case 'unknown':
      return content.reason
    case 'admin-set': {
      const current = admins.current()
      if (current !== undefined && !content.body.previous.equals(current.record.id)) {
        return 'it does not follow the current admin set'
      }
      return admins.objection(record, content.body)
    }
    case 'revocation':
      return authority.revocationObjection(record, content.body)
    case 'invite':
      return authority.adminObjection(record)
    case 'withdrawal':
      return (
        authority.adminObjection(record) ??
        (state.invites.has(content.body.invite.toString()) ? undefined : 'no invite of an admin has that id')
      )
    case 'member':
      return (
        membership.objection(record, content.body) ??
        superseded(content.body.version, state.members.get(peerIdOf(content.body.peer))?.version)
      )
    case 'grant':
      return authority.adminObjection(record) ?? supersededGrant(content.body, state)
    case 'tree':
      return (
        declarationObjection(record, content.body, judges.treeRecords(content.body.name), authority) ??
        superseded(content.body.version, state.trees.get(content.body.name)?.body.version)
      )
    case 'tag': {
      const tree = state.trees.get(content.body.tree)
      const tag = tree?.tags.get(content.body.tag) ?? tree?.removedTags.get(content.body.tag)
      return (
        tagObjection(record, content.body.tree, authority) ??
        superseded(content.body.version, tag?.body.version)
      )
    }
    case 'pin': {
      const pin = state.pins.get(content.body.name) ?? state.removedPins.get(content.body.name)
      return (
        judges.pins.objection(record, content.body) ?? superseded(content.body.version, pin?.body.version)
      )
    }
    case 'site':
      return (
        siteObjection(record, authority) ??
        superseded(content.body.version, state.sites.get(content.body.site)?.body.version)
      )
    case 'takedown':
      return (
        authority.adminObjection(record) ??
        superseded(content.body.version, state.takedowns.get(content.body.name)?.body.version)
      )
    case 'verdict':
      return (
        authority.adminObjection(record) ??
        superseded(content.body.version, state.verdicts.get(content.body.tree)?.body.version)
      )
    case 'topology':
      return (
        authority.adminObjection(record) ?? superseded(content.body.version, state.topology?.body.version)
      )
    case 'epoch':
      return objectionToEpoch(record, content.body, judges)
    case 'head':
      return objectionToHead(record, content.body, state.trees.get(content.body.tree), authority)
    case 'encodings': {
      const { body } = content
      const history = state.trees.get(body.tree)?.history ?? []
      const known = state.trees
        .get(body.tree)
        ?.encodings.get(body.snapshot.toString())
        ?.find((each) => each.body.base.equals(body.base))
      return (
        encodingsObjection(record, body, history, authority) ?? superseded(body.version, known?.body.version)
      )
    }
  }
}

function superseded(version: number, current: number | undefined): string | undefined {
  if (current === undefined || version > current) return undefined
  return `version ${current} is known; the next is ${current + 1}`
}

function supersededGrant(body: GrantBody, state: MeshState): string | undefined {
  const own = state.grants.get(granteeOf(body)) ?? []
  return superseded(
    body.version,
    own.find((each) => each.body.role === body.role && each.body.name === body.name)?.body.version,
  )
}

function objectionToEpoch(
  record: VerifiedRecord,
  body: EpochBody,
  { state, authority, treeRecords }: Judges,
): string | undefined {
  const publishers = publishersOf(declarations(treeRecords(body.tree), authority))
  const denied = authority.adminObjection(record)
  if (denied !== undefined && !isOwnBeginning(record, body, publishers.creators)) return denied
  const tree = state.trees.get(body.tree)
  if (tree === undefined) return `no admin has declared the tree ${body.tree}`
  if (!publishers.listed.has(peerIdOf(body.publisher)))
    return "its publisher is not listed by the tree's record"
  const disputed = tree.fork?.kind === 'epochs' ? tree.fork : undefined
  const follows =
    disputed !== undefined
      ? disputed.records.some((id) => body.previous?.equals(id))
      : tree.epoch === undefined
        ? body.previous === null
        : body.previous?.equals(tree.epoch.id) === true
  const number = (disputed?.epoch ?? tree.epoch?.epoch ?? 0) + 1
  if (!follows || body.epoch !== number)
    return `the next epoch of ${body.tree} is ${number}, after the one before it`
  const { base } = body
  if (base === null) return undefined
  const isKnown = [...tree.history, ...(tree.fork?.tips ?? [])].some(({ id }) => cidKey(id) === cidKey(base))
  return isKnown
    ? undefined
    : 'its base is not a head that this node knows to be good, nor the end of a branch'
}

function objectionToHead(
  record: VerifiedRecord,
  body: HeadBody,
  tree: TreeState | undefined,
  authority: Authority,
): string | undefined {
  if (tree === undefined) return `no admin has declared the tree ${body.tree}`
  const { epoch, newest, fork } = tree
  if (fork !== undefined) return `${body.tree} is stopped by a fork: an admin must start a new epoch`
  if (epoch === undefined) return `${body.tree} has no publisher yet`
  if (body.epoch !== epoch.epoch) return `${body.tree} is in epoch ${epoch.epoch}, not ${body.epoch}`
  if (record.issuerPeer !== epoch.publisher) {
    return `${record.issuerPeer} is not the publisher of ${body.tree} in epoch ${epoch.epoch}`
  }
  const cut = authority.cutObjection(record)
  if (cut !== undefined) return cut
  const denied = epoch.isByGrant
    ? authority.grantObjection(record, { role: 'publisher', tree: body.tree })
    : undefined
  if (denied !== undefined) return denied
  const follows = newest === undefined ? body.previous === null : body.previous?.equals(newest.id) === true
  if (!follows || body.sequence !== (newest?.sequence ?? 0) + 1) {
    return `the next head of ${body.tree} has sequence ${(newest?.sequence ?? 0) + 1} and names the one before it`
  }
  return undefined
}
