/**
 * The members that relay for a node that cannot be dialled: a few of those that it is connected to. Whoever wants to
 * reach it, and is connected to one of these, asks there. A relay that goes is replaced by another.
 */
import type { Clock } from '../base/clock.ts'
import { relayedAddress } from './address.ts'
import { RELAYS_SOUGHT, RESERVE_PAUSE_MS, RESERVE_REVIEW_MS } from './limits.ts'
import type { Peers } from './peers.ts'
import type { NetLog } from './ports.ts'
import type { Relay } from './relay.ts'

export interface Reservations {
  /** Relayed addresses of this node. */
  addresses(): string[]
  onChange(listener: () => void): () => void
  stop(): void
}

export function keepReservations(
  {
    relay,
    peers,
    clock,
    log,
  }: {
    readonly relay: Relay
    readonly peers: Pick<Peers, 'all' | 'on'>
    readonly clock: Clock
    readonly log: NetLog
  },
  isReachable: () => boolean,
): Reservations {
  const refusedAtMs = new Map<string, number>()
  const listeners = new Set<() => void>()
  let held: readonly string[] = []
  let isAsking = false
  let isStopped = false
  let cancelReview: (() => void) | undefined

  const mayAsk = (peer: string): boolean => {
    const atMs = refusedAtMs.get(peer)
    if (atMs === undefined) return true
    if (clock.monotonicMs() - atMs < RESERVE_PAUSE_MS) return false
    refusedAtMs.delete(peer)
    return true
  }

  const look = (): void => {
    if (isStopped) return
    const isWanted = !isReachable()
    if (!isWanted && held.length > 0) relay.release()
    const direct = isWanted ? peers.all().filter(({ isRelayed }) => isRelayed !== true) : []
    const now = direct.map(({ peer }) => peer).filter((peer) => relay.isReservedAt(peer))
    if (now.length !== held.length || now.some((peer) => !held.includes(peer))) {
      held = now
      for (const listener of listeners) listener()
    }
    if (!isWanted || isAsking || now.length >= RELAYS_SOUGHT) return
    const next = direct.find(({ peer }) => !now.includes(peer) && mayAsk(peer))
    if (next !== undefined) void ask(next.peer)
  }

  const ask = async (peer: string): Promise<void> => {
    isAsking = true
    try {
      await relay.reserve(peer)
      log.info({ peer }, 'net.relay.reserved')
    } catch (error) {
      refusedAtMs.set(peer, clock.monotonicMs())
      log.debug({ peer, error: String(error) }, 'net.relay.not-reserved')
    }
    isAsking = false
    look()
  }

  const review = (): void => {
    look()
    cancelReview = clock.after(RESERVE_REVIEW_MS, review)
  }

  const end = peers.on(({ peer, connected }) => {
    if (!connected) refusedAtMs.delete(peer)
    look()
  })
  review()
  return {
    addresses: () => held.map(relayedAddress),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    stop() {
      isStopped = true
      end()
      cancelReview?.()
      listeners.clear()
    },
  }
}
