/**
 * A newcomer without an invite: asks a member to be let in, shows the code that an admin compares, and waits until it is a
 * member or turned down. What comes back is believed only as far as signatures lead from the id of the mesh, which the
 * user names.
 *
 * The key comes first and stays, the config file once the node is admitted, the records last, as in join-mesh.ts. Killed
 * in between, it asks again with the same key: approved meanwhile, it is let in at once; else it shows another code.
 */
import { randomBytes } from 'node:crypto'
import { type Clock, sleep } from '../src/base/clock.ts'
import { isMirrorError, type MirrorError } from '../src/base/errors.ts'
import type { Cid } from '../src/block/cid.ts'
import { hostPortToAddress } from '../src/net/address.ts'
import type { Host } from '../src/net/ports.ts'
import { type KeyPair, publicKeyOf } from '../src/record/key.ts'
import { type JoinWish, joinCode, NONCE_BYTES } from '../src/record/request-code.ts'
import { ADDRESS_NAMESPACE, loadAddressBook } from '../src/replica/records/address-book.ts'
import { openStore } from '../src/store/store.ts'
import { alreadyANode } from './found-mesh.ts'
import { checkAdmitted, type JoinedMesh } from './join-mesh.ts'
import { loadOrCreateKey } from './keys.ts'
import { startNewcomer } from './newcomer-host.ts'
import type { Paths } from './paths.ts'
import { checkConfigFile, type SettingsToWrite, writeConfigFile } from './write-config.ts'

export interface JoinRequest {
  /** `host:port` of a member. */
  readonly address: string
  readonly mesh: Cid
  readonly wish: JoinWish
  readonly settings: SettingsToWrite
  readonly signal: AbortSignal
  /** The code to compare, and the keys that it is of. Called again when the member has forgotten the request. */
  readonly onCode: (code: string, keys: { readonly self: string; readonly member: string }) => void
  /** Trouble that it waits out. */
  readonly onTrouble: (error: MirrorError) => void
}

const POLL_MS = 2_000
/** A member that cannot be reached before it was ever asked is no member to wait for. */
const MAX_TROUBLE_MS = 60 * 60_000

/** @throws MirrorError `refused` (by an admin, or by the bounds of the member), `unreachable`, `conflict`, `aborted` */
export async function requestToJoin(
  { paths, clock }: { readonly paths: Paths; readonly clock: Clock },
  request: JoinRequest,
): Promise<JoinedMesh> {
  const { address, mesh, settings } = request
  const store = await openStore({ dir: paths.storeDir, clock })
  try {
    for await (const _ of store.records.readAll()) throw alreadyANode(paths)
    const node = await loadOrCreateKey(paths.nodeKeyFile, "this node's key")
    await checkConfigFile(paths.configFile, settings)
    const host = await startNewcomer({ node, clock, mesh })
    const { records, peer } = await waitForAdmission({ host, node, clock }, request).finally(() =>
      host.stop(),
    )
    const { name, member } = checkAdmitted(records, { mesh, peer }, node)
    await writeConfigFile(paths.configFile, settings)
    const addressBook = await loadAddressBook(store.values(ADDRESS_NAMESPACE))
    await addressBook.remember(peer, [hostPortToAddress(address)])
    await store.records.append(records)
    return {
      mesh: { id: mesh.toString(), name },
      peer: node.peer,
      site: member.site,
      region: member.region,
    }
  } finally {
    await store.close()
  }
}

interface Asked {
  readonly member: string
  readonly memberNonce: Uint8Array
}

async function waitForAdmission(
  { host, node, clock }: { readonly host: Host; readonly node: KeyPair; readonly clock: Clock },
  { address, mesh, wish, signal, onCode, onTrouble }: JoinRequest,
): Promise<{ readonly records: readonly Uint8Array[]; readonly peer: string }> {
  let asked: Asked | undefined
  let troubledSinceMs: number | undefined
  for (;;) {
    try {
      const nonce = new Uint8Array(randomBytes(NONCE_BYTES))
      const question =
        asked === undefined
          ? ({ kind: 'ask', mesh, nonce, wish } as const)
          : ({ kind: 'poll', mesh } as const)
      const answer = await host.askToJoin({ address, question }, signal)
      troubledSinceMs = undefined
      if (answer.kind === 'admitted') return { records: answer.records, peer: answer.peer }
      if (question.kind === 'ask' && answer.kind === 'pending') {
        asked = { member: answer.peer, memberNonce: answer.memberNonce }
        const code = joinCode({
          mesh,
          newcomer: node.publicKey,
          newcomerNonce: nonce,
          member: publicKeyOf(answer.peer),
          memberNonce: answer.memberNonce,
          ...wish,
        })
        onCode(code, { self: node.peer, member: answer.peer })
      } else if (answer.kind === 'unknown' || !isSameRequest(answer, asked)) {
        // It was restarted, or it is another member now: the code that we show is of nothing.
        asked = undefined
        continue
      }
    } catch (error) {
      signal.throwIfAborted()
      const isPassing = isMirrorError(error, 'unreachable') || isMirrorError(error, 'timed-out')
      if (!isPassing || asked === undefined) throw error
      const nowMs = clock.monotonicMs()
      if (troubledSinceMs === undefined) onTrouble(error)
      troubledSinceMs ??= nowMs
      if (nowMs - troubledSinceMs > MAX_TROUBLE_MS) throw error
    }
    await sleep(clock, POLL_MS, signal)
  }
}

function isSameRequest(
  answer: { readonly peer: string; readonly memberNonce: Uint8Array },
  asked: Asked | undefined,
): boolean {
  return (
    asked !== undefined &&
    answer.peer === asked.member &&
    Buffer.from(answer.memberNonce).equals(asked.memberNonce)
  )
}
