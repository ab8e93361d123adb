/**
 * Keeps this node connected to its mesh and its records in step: dials members whose addresses are known, again and
 * again with growing pauses; reconciles with each as it connects, and with a few once a minute after that; sends home those
 * who are no longer members.
 *
 * Bounded: dials and reconciliations at a time, connections that it seeks by itself (members of its own region first;
 * others may still connect to it). Whoever is reached through a relay only is dialled directly from time to time. A peer that sent wrong bytes is not sought for a while.
 */
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { Semaphore } from '../../base/semaphore.ts'
import { relayedAddress, relayOf } from '../../net/address.ts'
import type { Host } from '../../net/ports.ts'
import type { Member } from '../../record/mesh-state.ts'
import { isReachable, NO_TOPOLOGY } from '../../topology/topology.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { AddressBook } from '../records/address-book.ts'
import type { Ledger } from '../records/ledger.ts'
import type { Background } from './background.ts'
import { type BackoffOptions, backoffMs } from './backoff.ts'

export interface PeerKeeperComponents {
  readonly ledger: Pick<Ledger, 'state' | 'subscribe'>
  readonly host: Pick<
    Host,
    'dial' | 'peers' | 'onPeer' | 'reconcile' | 'enforceMembership' | 'disconnect' | 'publishRecord'
  >
  readonly addressBook: AddressBook
  readonly clock: Clock
  readonly random: () => number
  readonly logger: ReplicaLog
  readonly background: Background
  readonly self: { readonly peer: string; readonly region: string }
}

export interface PeerKeeper {
  start(): void
  /** The address book knows more of this peer than before. */
  addressesChanged(peer: string): void
  /** It sent wrong bytes: drops it, and does not seek it for a while. */
  shun(peer: string): void
  /**
   * Connects now, directly or through a member that relays, and does not wait for the member's turn to be dialled.
   * @throws MirrorError `unreachable` when it cannot be, or no address of it is known; `refused` for one that is shunned
   */
  reach(peer: string, signal: AbortSignal): Promise<void>
  /** PeerIds shunned now. */
  shunned(): readonly string[]
}

const DIAL_PAUSE: BackoffOptions = { firstMs: 1_000, maxMs: 60_000 }
const DIAL_TIMEOUT_MS = 15_000
/** For a direct connection in place of a relayed one: it is mostly not there to be had. */
const DIRECT_PAUSE: BackoffOptions = { firstMs: 60_000, maxMs: 30 * 60_000 }
const RECONCILE_TIMEOUT_MS = 30_000
const ROUND_MS = 60_000
/** By chance: what gossip lost reaches all in a few rounds, and a round costs the same however many are connected. */
const ROUND_PEERS = 3
const SHUN_MS = 10 * 60_000
const MAX_DIALS = 8
const MAX_RECONCILIATIONS = 4
const MAX_SOUGHT_PEERS = 128

interface DialState {
  failures: number
  /** Ends the pause before the next dial; undefined while none is set. */
  cancel: (() => void) | undefined
  isDialing: boolean
}

export function createPeerKeeper(components: PeerKeeperComponents): PeerKeeper {
  const { ledger, host, addressBook, clock, random, logger, background, self } = components
  const dials = new Semaphore(MAX_DIALS)
  const reconciliations = new Semaphore(MAX_RECONCILIATIONS)
  const states = new Map<string, DialState>()
  const reconciling = new Set<string>()
  const shunnedUntilMs = new Map<string, number>()

  function isConnected(peer: string): boolean {
    return host.peers().some((info) => info.peer === peer)
  }

  function isRelayed(peer: string): boolean {
    return host.peers().some((info) => info.peer === peer && info.isRelayed === true)
  }

  /** Not the direct addresses of one that, as the topology says, answers there within its region only. */
  function addressesOf(member: Member): readonly string[] {
    const addresses = addressBook.of(member.peer)
    const relayed = addresses.filter((address) => relayOf(address) !== undefined)
    const declared = ledger.state().topology?.body ?? NO_TOPOLOGY
    if (member.region !== self.region && relayed.length > 0 && !isReachable(declared, member.site))
      return relayed
    return addresses
  }

  function stateOf(peer: string): DialState {
    let state = states.get(peer)
    if (state === undefined) {
      state = { failures: 0, cancel: undefined, isDialing: false }
      states.set(peer, state)
    }
    return state
  }

  /** Plans a dial where one is due; asked as often as one likes. */
  function seek(peer: string): void {
    const member = ledger.state().members.get(peer)
    if (background.signal.aborted || peer === self.peer || member?.isActive !== true) {
      states.get(peer)?.cancel?.()
      states.delete(peer)
      return
    }
    const state = stateOf(peer)
    if (state.isDialing || state.cancel !== undefined) return
    const addresses = addressesOf(member)
    if (addresses.length === 0 || isShunned(peer)) return
    if (isConnected(peer)) {
      const isDirectKnown = addresses.some((address) => relayOf(address) === undefined)
      if (!isDirectKnown || !isRelayed(peer)) return
    } else if (host.peers().length >= MAX_SOUGHT_PEERS) return
    // The first try comes at once in the own region; others leave it a moment.
    const isNear = member.region === self.region
    const delayMs =
      state.failures > 0
        ? backoffMs(state.failures, random, isConnected(peer) ? DIRECT_PAUSE : DIAL_PAUSE)
        : Math.round(random() * (isNear ? 50 : 250))
    state.cancel = clock.after(delayMs, () => {
      state.cancel = undefined
      background.run('dial', (signal) => dial(member, state, signal))
    })
  }

  async function dial(member: Member, state: DialState, signal: AbortSignal): Promise<void> {
    const { peer } = member
    const wasConnected = isConnected(peer)
    state.isDialing = true
    try {
      await dials.run(
        () =>
          withTimeLimit(clock, DIAL_TIMEOUT_MS, signal, (limited) =>
            host.dial(peer, addressesOf(member), limited),
          ),
        1,
        signal,
      )
      state.failures = isRelayed(peer) ? 1 : 0
    } catch (error) {
      if (signal.aborted) return
      state.failures++
      const err = asMirrorError(error, `dial ${peer}`)
      // The first failures are news, the hundredth is not.
      const level = state.failures <= 3 && !wasConnected ? 'warn' : 'debug'
      logger[level]({ peer, err, failures: state.failures }, 'peer.dial-failed')
    } finally {
      state.isDialing = false
    }
    seek(peer)
  }

  function reconcile(peer: string): void {
    if (reconciling.has(peer)) return
    reconciling.add(peer)
    background.run('reconcile', async (signal) => {
      try {
        const { received, sent } = await reconciliations.run(
          () =>
            withTimeLimit(clock, RECONCILE_TIMEOUT_MS, signal, (limited) => host.reconcile(peer, limited)),
          1,
          signal,
        )
        if (received + sent > 0) logger.info({ peer, received, sent }, 'records.reconciled')
      } catch (error) {
        if (!signal.aborted && isConnected(peer)) {
          logger.warn(
            { peer, err: asMirrorError(error, `reconcile with ${peer}`) },
            'records.reconcile-failed',
          )
        }
      } finally {
        reconciling.delete(peer)
      }
    })
  }

  function isShunned(peer: string): boolean {
    const untilMs = shunnedUntilMs.get(peer)
    if (untilMs === undefined) return false
    if (untilMs > clock.monotonicMs()) return true
    shunnedUntilMs.delete(peer)
    return false
  }

  function seekAll(): void {
    const members = [...ledger.state().members.values()]
    // Stable: within a region the order of the records, near before far.
    for (const member of members.toSorted((a, b) => distance(a) - distance(b))) seek(member.peer)
  }

  /** Those that this peer relays for, it being here now. */
  function seekThrough(relay: string): void {
    const address = relayedAddress(relay)
    for (const peer of addressBook.peers()) {
      if (addressBook.of(peer).includes(address) && !isConnected(peer)) seekAtOnce(peer)
    }
  }

  function seekAtOnce(peer: string): void {
    const state = states.get(peer)
    if (state !== undefined) {
      state.failures = 0
      state.cancel?.()
      state.cancel = undefined
    }
    seek(peer)
  }

  function distance(member: Member): number {
    return member.region === self.region ? 0 : 1
  }

  function round(): void {
    clock.after(Math.round(ROUND_MS * (0.9 + random() * 0.2)), () => {
      if (background.signal.aborted) return
      const left = host.peers()
      for (let i = 0; i < ROUND_PEERS && left.length > 0; i++)
        reconcile(left.splice(Math.floor(random() * left.length), 1)[0]!.peer)
      // A membership may have run out by the clock.
      background.run('enforce membership', () => host.enforceMembership())
      seekAll()
      round()
    })
  }

  return {
    start() {
      const ends = [
        host.onPeer(({ peer, connected }) => {
          logger.info({ peer }, connected ? 'peer.connected' : 'peer.disconnected')
          if (connected) {
            const state = stateOf(peer)
            state.failures = isRelayed(peer) ? 1 : 0
            state.cancel?.()
            state.cancel = undefined
            reconcile(peer)
            seek(peer)
            seekThrough(peer)
          } else {
            // It was here a moment ago: one failure's pause, not none, lest two nodes that cannot agree spin.
            stateOf(peer).failures ||= 1
            seek(peer)
          }
        }),
        ledger.subscribe(({ effects, records, from }) => {
          if (from === 'local') {
            for (const record of records) {
              background.run('gossip a record', () => host.publishRecord(record.bytes))
            }
          }
          const changed = effects.filter(
            ({ kind }) => kind === 'member' || kind === 'revoked' || kind === 'admins',
          )
          if (changed.length === 0) return
          background.run('enforce membership', () => host.enforceMembership())
          for (const effect of changed) if ('peer' in effect) seek(effect.peer)
        }),
      ]
      background.signal.addEventListener('abort', () => {
        for (const end of ends) end()
        for (const state of states.values()) state.cancel?.()
        states.clear()
      })
      for (const { peer } of host.peers()) reconcile(peer)
      seekAll()
      round()
    },
    addressesChanged(peer) {
      if (isConnected(peer) && !isRelayed(peer)) return
      seekAtOnce(peer)
    },
    shun(peer) {
      shunnedUntilMs.set(peer, clock.monotonicMs() + SHUN_MS)
      background.run('drop a peer', () => host.disconnect(peer))
    },
    async reach(peer, signal) {
      if (isConnected(peer)) return
      const member = ledger.state().members.get(peer)
      if (isShunned(peer))
        throw new MirrorError('refused', `${peer} sent wrong bytes: it is left alone for a while`)
      const addresses = member?.isActive === true ? addressesOf(member) : []
      if (addresses.length === 0) throw new MirrorError('unreachable', `no address of ${peer} is known`)
      const ends = AbortSignal.any([signal, background.signal])
      await withTimeLimit(clock, DIAL_TIMEOUT_MS, ends, (limited) => host.dial(peer, addresses, limited))
    },
    shunned: () => [...shunnedUntilMs.keys()].filter(isShunned),
  }
}

async function withTimeLimit<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const cancel = clock.after(limitMs, () =>
    controller.abort(new MirrorError('timed-out', `no answer within ${limitMs} ms`)),
  )
  try {
    return await task(AbortSignal.any([signal, controller.signal]))
  } finally {
    cancel()
  }
}
