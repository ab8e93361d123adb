/**
 * A newcomer's first contact: claims the invite at the node that made it, checks that what comes back makes this node a
 * member of the mesh that the token names, and records it. The key comes first, the config file once the node is admitted, the records last,
 * so that a home in which a mesh is recorded has all that it needs, and one that was refused can be asked for again with
 * other settings. Killed in between, it can be run again: the invite admits the same key a second time.
 */
import type { Clock } from '../src/base/clock.ts'
import { isMirrorError, MirrorError } from '../src/base/errors.ts'
import type { Cid } from '../src/block/cid.ts'
import { type InviteToken, parseInviteToken } from '../src/record/invite-token.ts'
import { type KeyPair, peerIdOf } from '../src/record/key.ts'
import type { Member } from '../src/record/mesh-state.ts'
import { foldRecords } from '../src/record/mesh-state-builder.ts'
import { decodeSigned } from '../src/record/record.ts'
import { ADDRESS_NAMESPACE, loadAddressBook } from '../src/replica/records/address-book.ts'
import { openStore } from '../src/store/store.ts'
import { alreadyANode } from './found-mesh.ts'
import { loadOrCreateKey } from './keys.ts'
import { startNewcomer } from './newcomer-host.ts'
import type { Paths } from './paths.ts'
import { checkConfigFile, type SettingsToWrite, writeConfigFile } from './write-config.ts'

export interface JoinedMesh {
  readonly mesh: { readonly id: string; readonly name: string }
  readonly peer: string
  readonly site: string
  readonly region: string
}

/** @throws MirrorError `invalid` (the token), `refused` (by the admitter, or expired), `unreachable`, `conflict` */
export async function joinMesh(
  { paths, clock }: { paths: Paths; clock: Clock },
  { token: text, settings, signal }: { token: string; settings: SettingsToWrite; signal: AbortSignal },
): Promise<JoinedMesh> {
  const token = parseInviteToken(text)
  if (token.expiresMs <= clock.nowMs()) {
    throw new MirrorError('refused', `the invite expired at ${new Date(token.expiresMs).toISOString()}`, {
      hint: 'Ask an admin of the mesh for a new one. (Or is the clock of this machine wrong?)',
    })
  }
  const store = await openStore({ dir: paths.storeDir, clock })
  try {
    for await (const _ of store.records.readAll()) throw alreadyANode(paths)
    const node = await loadOrCreateKey(paths.nodeKeyFile, "this node's key")
    await checkConfigFile(paths.configFile, settings)
    const records = await claim({ node, clock }, token, signal)
    const { name, member } = checkAdmitted(records, { mesh: token.mesh, peer: peerIdOf(token.peer) }, node)
    await writeConfigFile(paths.configFile, settings)
    const admitter = peerIdOf(token.peer)
    const addressBook = await loadAddressBook(store.values(ADDRESS_NAMESPACE))
    await addressBook.remember(admitter, token.addrs)
    await store.records.append(records)
    return {
      mesh: { id: token.mesh.toString(), name },
      peer: node.peer,
      site: member.site,
      region: member.region,
    }
  } finally {
    await store.close()
  }
}

/** Dials the admitter and nobody else, and serves nothing meanwhile. */
async function claim(
  { node, clock }: { node: KeyPair; clock: Clock },
  token: InviteToken,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const admitter = peerIdOf(token.peer)
  const host = await startNewcomer({ node, clock, mesh: token.mesh, isMember: (peer) => peer === admitter })
  try {
    return await host.join(
      {
        peer: admitter,
        addresses: token.addrs,
        mesh: token.mesh,
        secret: token.secret,
        invite: token.invite,
      },
      signal,
    )
  } catch (error) {
    if (!isMirrorError(error, 'unreachable')) throw error
    throw new MirrorError(
      'unreachable',
      `cannot join through ${admitter} (${token.addrs.join(', ')}): ${error.message}`,
      {
        cause: error,
        hint: 'Is the daemon running there, and can this machine reach it? A node whose invites have all expired talks to no stranger.',
      },
    )
  } finally {
    await host.stop()
  }
}

/** The answer is believed only as far as signatures lead from the mesh's id, which the token or the user vouches for. */
export function checkAdmitted(
  records: readonly Uint8Array[],
  { mesh, peer }: { readonly mesh: Cid; readonly peer: string },
  node: KeyPair,
): { name: string; member: Member } {
  const state = foldRecords(records.map(decodeSigned), mesh)
  const member = state.members.get(node.peer)
  if (state.name === undefined || member === undefined || !member.isActive) {
    throw new MirrorError('corrupt', `what ${peer} answered does not make this node a member of ${mesh}`, {
      facts: { records: records.length },
      hint: 'Ask an admin of the mesh: is that node up to date, and is this the id of the mesh?',
    })
  }
  return { name: state.name, member }
}
