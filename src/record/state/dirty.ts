/** Parts of the state that must be worked out again. */
import { cidKey } from '../../block/cid.ts'
import { type PeerId, peerIdOf } from '../key.ts'
import type { VerifiedRecord } from '../record.ts'
import { granteeOf } from './grants.ts'
import { treeOf } from './tree-records.ts'

export interface Dirty {
  readonly trees: Set<string>
  readonly pins: Set<string>
  readonly sites: Set<string>
  readonly takedowns: Set<string>
  /** By tree. */
  readonly verdicts: Set<string>
  topology: boolean
  readonly peers: Set<PeerId>
  readonly invites: Set<string>
  readonly grantees: Set<PeerId>
}

export function nothingDirty(): Dirty {
  return {
    trees: new Set(),
    pins: new Set(),
    sites: new Set(),
    takedowns: new Set(),
    verdicts: new Set(),
    topology: false,
    peers: new Set(),
    invites: new Set(),
    grantees: new Set(),
  }
}

/** The part that a record is about. */
export function markRecord(dirty: Dirty, record: VerifiedRecord): void {
  const { content } = record
  const tree = treeOf(record)
  if (tree !== undefined) dirty.trees.add(tree)
  if (content.kind === 'pin') dirty.pins.add(content.body.name)
  if (content.kind === 'site') dirty.sites.add(content.body.site)
  if (content.kind === 'takedown') dirty.takedowns.add(content.body.name)
  if (content.kind === 'verdict') dirty.verdicts.add(content.body.tree)
  if (content.kind === 'topology') dirty.topology = true
  if (content.kind === 'grant') dirty.grantees.add(granteeOf(content.body))
  if (content.kind === 'invite') dirty.invites.add(cidKey(record.id))
  if (content.kind === 'withdrawal') dirty.invites.add(cidKey(content.body.invite))
  if (content.kind === 'revocation') dirty.peers.add(peerIdOf(content.body.key))
  if (content.kind === 'member') {
    dirty.peers.add(peerIdOf(content.body.peer))
    if (content.body.invite !== null) dirty.invites.add(cidKey(content.body.invite))
  }
}
