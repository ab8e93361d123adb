/**
 * Tells the mesh how this site is (within a second of a change, and from time to time without one: see announcePeriodMs), and
 * remembers what the other sites said last. What is heard is a claim, not a record: it is shown with its age, it finds peers, and nothing is
 * ever decided by it. An older one than the last is no news: whoever repeats what a site once said could make a dead one
 * look alive, or send the others to addresses that it left.
 */
import type { Clock } from '../base/clock.ts'
import { asMirrorError } from '../base/errors.ts'
import type { Host } from '../net/ports.ts'
import type { AddressBook } from './address-book.ts'
import type { ReplicaLog } from './fetch-network.ts'
import type { Ledger } from './ledger.ts'
import type { Background } from './site-agent-background.ts'
import { announcePeriodMs, type HeardSite } from './status.ts'
import { decodeAnnouncement, encodeAnnouncement, type SiteAnnouncement } from './status-announcement.ts'

export interface StatusGossipComponents {
  readonly host: Pick<Host, 'publishStatus' | 'onStatus' | 'peers'>
  readonly ledger: Pick<Ledger, 'state'>
  readonly addressBook: AddressBook
  readonly clock: Clock
  readonly random: () => number
  readonly logger: ReplicaLog
  readonly background: Background
  /** What to say now. */
  readonly announce: () => SiteAnnouncement
  readonly onHeard: (peer: string) => void
  readonly onAddresses: (peer: string) => void
}

export interface StatusGossip {
  start(): void
  /** Something that the others may want to know changed. */
  changed(): void
  /** By PeerId, members only. */
  heard(): Map<string, HeardSite>
}

const MIN_INTERVAL_MS = 1_000
/** A site whose clock was further ahead than this, and was put right since, is heard again. */
const MAX_AHEAD_MS = 5 * 60_000

export function createStatusGossip(components: StatusGossipComponents): StatusGossip {
  const { host, ledger, addressBook, clock, random, logger, background, announce } = components
  const last = new Map<string, { announcement: SiteAnnouncement; atMs: number }>()
  let sentAtMs = Number.NEGATIVE_INFINITY
  let cancelNext: (() => void) | undefined
  let nextAtMs = Number.POSITIVE_INFINITY

  function sendAt(atMs: number): void {
    if (background.signal.aborted || atMs >= nextAtMs) return
    cancelNext?.()
    nextAtMs = atMs
    cancelNext = clock.after(Math.max(0, atMs - clock.monotonicMs()), send)
  }

  function send(): void {
    nextAtMs = Number.POSITIVE_INFINITY
    sentAtMs = clock.monotonicMs()
    background.run('announce the status', () => host.publishStatus(encodeAnnouncement(announce())))
    sendAt(sentAtMs + Math.round(announcePeriodMs(activeMembers()) * (0.9 + random() * 0.2)))
  }

  function activeMembers(): number {
    let count = 0
    for (const { isActive } of ledger.state().members.values()) if (isActive) count++
    return count
  }

  function hear(peer: string, bytes: Uint8Array): void {
    if (ledger.state().members.get(peer)?.isActive !== true) return
    try {
      const announcement = decodeAnnouncement(bytes)
      const lastMs = last.get(peer)?.announcement.timeMs ?? Number.NEGATIVE_INFINITY
      if (announcement.timeMs <= lastMs && lastMs <= clock.nowMs() + MAX_AHEAD_MS) {
        logger.debug({ peer, timeMs: announcement.timeMs, lastMs }, 'status.repeated')
        return
      }
      last.set(peer, { announcement, atMs: clock.monotonicMs() })
      components.onHeard(peer)
      if (announcement.addresses.length === 0) return
      const before = addressBook.of(peer)
      background.run('remember addresses', async () => {
        await addressBook.remember(peer, announcement.addresses)
        if (JSON.stringify(before) !== JSON.stringify(addressBook.of(peer))) components.onAddresses(peer)
      })
    } catch (error) {
      logger.debug({ peer, err: asMirrorError(error, 'read a site announcement') }, 'status.unreadable')
    }
  }

  return {
    start() {
      const end = host.onStatus(hear)
      background.signal.addEventListener('abort', () => {
        end()
        cancelNext?.()
      })
      sendAt(clock.monotonicMs())
    },
    changed: () => sendAt(Math.max(clock.monotonicMs(), sentAtMs + MIN_INTERVAL_MS)),
    heard() {
      const { members } = ledger.state()
      const nowMs = clock.monotonicMs()
      const connected = new Set(host.peers().map(({ peer }) => peer))
      const out = new Map<string, HeardSite>()
      for (const [peer, { announcement, atMs }] of last) {
        if (members.get(peer)?.isActive === true) {
          out.set(peer, { announcement, ageMs: nowMs - atMs, isConnected: connected.has(peer) })
        } else {
          last.delete(peer)
        }
      }
      return out
    },
  }
}
