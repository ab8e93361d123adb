/**
 * Who asks to be let in without an invite, with the code that an admin compares (src/record/request-code.ts). Kept in
 * memory: a newcomer that is told that nothing is known of it asks anew, and shows another code.
 *
 * Strangers write here, so everything is bounded: requests in all and by address, exchanges by time (each is one guess
 * at a code), the age of a request, and the memory of those who were turned away.
 *
 * Nobody crowds others out by many keys or addresses: where all places are taken, the newest request of the network (an IPv4
 * /24, an IPv6 /48) that has most of them makes room for one of a network that has fewer; it asks anew if it was meant. So it
 * takes as many networks as there are places.
 */

import { addressGroup } from '../../base/address-group.ts'
import { equalBytes } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { JoinRequests } from '../../net/ports.ts'
import { type KeyPair, publicKeyOf } from '../../record/key.ts'
import { isMemberAt } from '../../record/mesh-state.ts'
import { joinCode, joinCommitment } from '../../record/request-code.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import { recordsForNewcomer } from './admission.ts'
import type { Ledger } from './ledger.ts'

export interface PendingRequest {
  readonly peer: string
  readonly code: string
  /** As the newcomer would like them; null when it named none. */
  readonly site: string | null
  readonly region: string | null
  /** Where it came from. */
  readonly address: string
  readonly sinceMs: number
}

export interface JoinRequestLimits {
  readonly maxRequests?: number
  readonly maxByAddress?: number
  /** A newcomer that has not asked how its request stands for so long is gone. */
  readonly silentMs?: number
  readonly maxAgeMs?: number
  /** Exchanges in a minute, of all newcomers and of one address. */
  readonly exchangesAMinute?: number
  readonly exchangesByAddress?: number
  readonly deniedMs?: number
}

export interface JoinRequestKeeper extends JoinRequests {
  /** Oldest first. */
  list(): readonly PendingRequest[]
  /** False when no such request is pending here. */
  deny(peer: string): boolean
  /** Returns the function that ends it. */
  onChange(listener: () => void): () => void
}

interface Entry extends PendingRequest {
  readonly memberNonce: Uint8Array
  readonly beganMs: number
  heardMs: number
}

const MAX_DENIED = 256

export function createJoinRequests(
  {
    ledger,
    nodeKey,
    clock,
    logger,
  }: {
    readonly ledger: Ledger
    readonly nodeKey: KeyPair
    readonly clock: Clock
    readonly logger: ReplicaLog
  },
  {
    maxRequests = 32,
    maxByAddress = 4,
    silentMs = 5 * 60_000,
    maxAgeMs = 24 * 3_600_000,
    exchangesAMinute = 30,
    exchangesByAddress = 6,
    deniedMs = 3_600_000,
  }: JoinRequestLimits = {},
): JoinRequestKeeper {
  const entries = new Map<string, Entry>()
  const denied = new Map<string, number>()
  /** The exchanges of the last minute, oldest first. */
  let recent: { readonly address: string; readonly atMs: number }[] = []
  const listeners = new Set<() => void>()

  function changed(): void {
    for (const listener of [...listeners]) listener()
  }

  /** Those that are over go. */
  function tidy(): void {
    const nowMs = clock.monotonicMs()
    for (const [peer, { heardMs, beganMs }] of entries) {
      const isOver = nowMs - heardMs > silentMs || nowMs - beganMs > maxAgeMs
      const { revoked } = ledger.state()
      if (isOver || revoked.has(peer) || isMemberAt(ledger.state(), peer, clock.nowMs())) entries.delete(peer)
    }
    for (const [peer, atMs] of denied) if (nowMs - atMs > deniedMs) denied.delete(peer)
    recent = recent.filter(({ atMs }) => nowMs - atMs < 60_000)
  }

  /** Who makes room for one from that address. */
  function crowdedOut(others: readonly Entry[], address: string): Entry | undefined {
    const byNetwork = Map.groupBy(others, (each) => networkOf(each.address))
    const own = byNetwork.get(networkOf(address))?.length ?? 0
    const most = [...byNetwork.values()].reduce((a, b) => (b.length > a.length ? b : a), [] as Entry[])
    if (most.length <= own + 1) return undefined
    return most.reduce((a, b) => (b.beganMs >= a.beganMs ? b : a))
  }

  function checkWelcome(peer: string): void {
    if (ledger.state().revoked.has(peer)) throw refused('the key has been revoked')
    if (denied.has(peer)) throw refused('an admin of the mesh has turned this request down')
  }

  return {
    admitted(peer) {
      if (!isMemberAt(ledger.state(), peer, clock.nowMs())) return undefined
      if (entries.delete(peer)) changed()
      return recordsForNewcomer(ledger, peer, nodeKey).map(({ bytes }) => bytes)
    },
    begin({ peer, address }) {
      tidy()
      checkWelcome(peer)
      const ofAddress = recent.filter((each) => each.address === address).length
      const isNew = !recent.some((each) => networkOf(each.address) === networkOf(address))
      // Of a network that has not been heard of in the minute, there is room beside those that make all the noise.
      const most = isNew ? 2 * exchangesAMinute : exchangesAMinute
      if (recent.length >= most || ofAddress >= exchangesByAddress)
        throw refused('too many requests were made in the last minute: try again in one')
      const others = [...entries.values()].filter((each) => each.peer !== peer)
      if (others.length >= maxRequests && crowdedOut(others, address) === undefined)
        throw refused('too many requests wait for an admin here')
      if (others.filter((each) => each.address === address).length >= maxByAddress)
        throw refused('too many requests from this address wait for an admin here')
      recent.push({ address, atMs: clock.monotonicMs() })
    },
    complete({ peer, address }, { commitment, wish, newcomerNonce, memberNonce }) {
      tidy()
      checkWelcome(peer)
      const others = [...entries.values()].filter((each) => each.peer !== peer)
      const leaving = others.length >= maxRequests ? crowdedOut(others, address) : undefined
      // Of several that began at the same time, those that come too late.
      if (
        (others.length >= maxRequests && leaving === undefined) ||
        others.filter((each) => each.address === address).length >= maxByAddress
      )
        throw refused('too many requests wait for an admin here')
      const committed = { mesh: ledger.mesh, newcomer: publicKeyOf(peer), newcomerNonce, ...wish }
      if (!equalBytes(joinCommitment(committed), commitment)) {
        logger.warn({ peer, address }, 'join-request.wrong-commitment')
        throw refused('what was revealed is not what was committed to')
      }
      if (leaving !== undefined) {
        entries.delete(leaving.peer)
        logger.info({ peer: leaving.peer, address: leaving.address }, 'join-request.crowded-out')
      }
      const code = joinCode({ ...committed, member: nodeKey.publicKey, memberNonce })
      const nowMs = clock.monotonicMs()
      const { site = null, region = null } = wish
      entries.set(peer, {
        ...{ peer, code, site, region, address, memberNonce },
        sinceMs: clock.nowMs(),
        beganMs: nowMs,
        heardMs: nowMs,
      })
      logger.info({ peer, address, code, site, region }, 'join-request.pending')
      changed()
    },
    pending(peer) {
      tidy()
      checkWelcome(peer)
      const entry = entries.get(peer)
      if (entry !== undefined) entry.heardMs = clock.monotonicMs()
      return entry?.memberNonce
    },
    list() {
      tidy()
      return [...entries.values()]
        .toSorted((a, b) => a.beganMs - b.beganMs)
        .map(({ memberNonce: _, beganMs: _began, heardMs: _heard, ...request }) => request)
    },
    deny(peer) {
      tidy()
      if (!entries.delete(peer)) return false
      if (denied.size >= MAX_DENIED) denied.delete(denied.keys().next().value!)
      denied.set(peer, clock.monotonicMs())
      logger.info({ peer }, 'join-request.denied')
      changed()
      return true
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

function networkOf(address: string): string {
  return addressGroup(address, { bytesOfV4: 3, groupsOfV6: 3 })
}

function refused(why: string): MirrorError {
  return new MirrorError('refused', why)
}
