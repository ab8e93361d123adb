/**
 * Tells the mesh how this site is (soon after a change, and from time to time without one: see announcePeriodMs), in whole or
 * as what changed since (announcement-sender.ts), and remembers what the other sites said last. A site that has heard a change
 * and not what it is based on asks its author, when they are connected; else the next whole one tells. What is heard is a claim, not a record: it is shown with its age, it finds peers, and of
 * decisions only one rests on it: that others hold what is dropped here (last-copies.ts), which takes two of them. An older one than the last is no news: whoever repeats what a site once said could make a dead one
 * look alive, or send the others to addresses that it left.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Host } from '../../net/ports.ts'
import { announcePeriodMs } from '../announce-period.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import { encodeQuestion } from '../questions.ts'
import type { AddressBook } from '../records/address-book.ts'
import type { Ledger } from '../records/ledger.ts'
import { type AnnouncementDelta, applyAnnouncementDelta, decodeDelta } from '../status/announcement-delta.ts'
import { createAnnouncementSender } from '../status/announcement-sender.ts'
import type { HeardSite } from '../status/status.ts'
import { decodeAnnouncement, type SiteAnnouncement } from '../status/status-announcement.ts'
import type { Background } from './background.ts'
import { createSuspicions } from './suspicions.ts'

export interface StatusGossipComponents {
  readonly host: Pick<Host, 'publishStatus' | 'onStatus' | 'peers' | 'ask'>
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
  /** PeerId of this node. */
  readonly self: string
}

export interface StatusGossip {
  start(): void
  /** Something that the others may want to know changed. */
  changed(): void
  /** A member came: what it is, it says itself. */
  connected(peer: string): void
  /** The connection to it has ended. */
  lost(peer: string): void
  /** What this site said last of all of itself. */
  whole(): Uint8Array | undefined
  /** By PeerId, members only. */
  heard(): Map<string, HeardSite>
}

const MIN_INTERVAL_MS = 1_000
/** In a large mesh changes that follow each other closely are told together: each costs every site a message. */
const MIN_INTERVAL_A_MEMBER_MS = 50
/** One author is not asked more often: after an answer, and after none. */
const ASK_PAUSE_MS = 60_000
const ASK_AGAIN_MS = 5_000
const ASK_TIMEOUT_MS = 15_000
const MAX_ASKED = 1024
/** A site whose clock was further ahead than this, and was put right since, is heard again. */
const MAX_AHEAD_MS = 5 * 60_000

/** Whoever suspects this site is contradicted no more often. */
const CONTRADICT_PAUSE_MS = 10_000

export function createStatusGossip(components: StatusGossipComponents): StatusGossip {
  const { host, ledger, addressBook, clock, random, logger, background, announce } = components
  const last = new Map<string, Heard>()
  const askedAtMs = new LRUCache<string, number>({ max: MAX_ASKED })
  const sender = createAnnouncementSender()
  let sentAtMs = Number.NEGATIVE_INFINITY
  let isBeat = true
  let beatAtMs = Number.NEGATIVE_INFINITY
  let contradictedAtMs = Number.NEGATIVE_INFINITY
  let cancelNext: (() => void) | undefined
  let nextAtMs = Number.POSITIVE_INFINITY

  const suspicions = createSuspicions({
    clock,
    random,
    isMember: (peer) => ledger.state().members.get(peer)?.isActive === true,
    isConnected,
    heardAtMs: (peer) => last.get(peer)?.atMs,
    canContradict: (peer) => last.get(peer)?.base?.contradicts === true,
    // At once: the others wait for it, each with the same to say.
    onSay: () => sendAt(Math.max(clock.monotonicMs(), sentAtMs + MIN_INTERVAL_MS)),
    onSuspected() {
      const atMs = Math.max(clock.monotonicMs(), contradictedAtMs + CONTRADICT_PAUSE_MS)
      beatAtMs = Math.min(beatAtMs, atMs)
      contradictedAtMs = atMs
      sendAt(atMs)
    },
    onGone(peer) {
      logger.info({ peer }, 'site.silent')
      components.onHeard(peer)
    },
  })

  function isConnected(peer: string): boolean {
    return host.peers().some((each) => each.peer === peer)
  }

  function sendAt(atMs: number): void {
    if (background.signal.aborted || atMs >= nextAtMs) return
    cancelNext?.()
    nextAtMs = atMs
    cancelNext = clock.after(Math.max(0, atMs - clock.monotonicMs()), send)
  }

  function send(): void {
    nextAtMs = Number.POSITIVE_INFINITY
    const nowMs = clock.monotonicMs()
    const members = activeMembers()
    isBeat = nowMs >= beatAtMs
    const now = { ...announce(), contradicts: true, ...saying(suspicions.say()) }
    const bytes = sender.next(now, { isBeat, members })
    if (bytes !== undefined) {
      sentAtMs = nowMs
      beatAtMs = nowMs + Math.round(announcePeriodMs(members) * (0.9 + random() * 0.2))
      background.run('announce the status', () => host.publishStatus(bytes))
    }
    sendAt(beatAtMs)
  }

  function activeMembers(): number {
    let count = 0
    for (const { isActive } of ledger.state().members.values()) if (isActive) count++
    return count
  }

  /** False for what was said before: nobody else need hear it again. */
  function hear(peer: string, bytes: Uint8Array): boolean {
    if (ledger.state().members.get(peer)?.isActive !== true) return true
    try {
      const delta = decodeDelta(bytes)
      const whole = delta === undefined ? decodeAnnouncement(bytes) : undefined
      const before = last.get(peer)
      const timeMs = (delta ?? whole)!.timeMs
      const lastMs = before?.timeMs ?? Number.NEGATIVE_INFINITY
      if (timeMs <= lastMs && lastMs <= clock.nowMs() + MAX_AHEAD_MS) {
        logger.debug({ peer, timeMs, lastMs }, 'status.repeated')
        return false
      }
      const heard = heardOf({ timeMs, atMs: clock.monotonicMs(), base: whole ?? before?.base, delta })
      last.set(peer, heard)
      suspicions.told(heard.announcement.suspects ?? [], components.self)
      components.onHeard(peer)
      if (whole !== undefined) rememberAddresses(peer, whole)
      else if (heard.base?.timeMs !== delta?.baseMs) askForWhole(peer)
    } catch (error) {
      logger.debug({ peer, err: asMirrorError(error, 'read a site announcement') }, 'status.unreadable')
    }
    return true
  }

  function rememberAddresses(peer: string, { addresses }: SiteAnnouncement): void {
    if (addresses.length === 0) return
    const before = addressBook.of(peer)
    background.run('remember addresses', async () => {
      await addressBook.remember(peer, addresses)
      if (JSON.stringify(before) !== JSON.stringify(addressBook.of(peer))) components.onAddresses(peer)
    })
  }

  /** What its author, whose connection proves its key, has said before this node listened. */
  function askForWhole(peer: string): void {
    const nowMs = clock.monotonicMs()
    const isMember = ledger.state().members.get(peer)?.isActive === true
    if (
      !isConnected(peer) ||
      !isMember ||
      nowMs - (askedAtMs.get(peer) ?? Number.NEGATIVE_INFINITY) < ASK_PAUSE_MS
    ) {
      return
    }
    askedAtMs.set(peer, nowMs)
    background.run('ask for a status', async () => {
      const patience = new AbortController()
      const cancel = clock.after(ASK_TIMEOUT_MS, () =>
        patience.abort(new MirrorError('timed-out', `${peer} does not say how it is`)),
      )
      try {
        const signal = AbortSignal.any([patience.signal, background.signal])
        const base = decodeAnnouncement(await host.ask(peer, encodeQuestion({ ask: 'status' }), signal))
        const now = last.get(peer)
        if ((now?.base?.timeMs ?? Number.NEGATIVE_INFINITY) >= base.timeMs) return
        const { timeMs, delta } = now ?? { timeMs: base.timeMs, delta: undefined }
        last.set(peer, heardOf({ timeMs, atMs: now?.atMs ?? clock.monotonicMs(), base, delta }))
        components.onHeard(peer)
        rememberAddresses(peer, base)
      } catch (error) {
        askedAtMs.set(peer, nowMs - ASK_PAUSE_MS + ASK_AGAIN_MS)
        logger.debug({ peer, err: asMirrorError(error, 'ask for a status') }, 'status.not-answered')
      } finally {
        cancel()
      }
    })
  }

  return {
    start() {
      const end = host.onStatus(hear)
      background.signal.addEventListener('abort', () => {
        end()
        cancelNext?.()
        suspicions.stop()
      })
      sendAt(clock.monotonicMs())
    },
    changed() {
      const pauseMs = Math.max(MIN_INTERVAL_MS, activeMembers() * MIN_INTERVAL_A_MEMBER_MS)
      sendAt(Math.max(clock.monotonicMs(), sentAtMs + pauseMs))
    },
    connected(peer) {
      if (last.get(peer)?.base === undefined) askForWhole(peer)
    },
    lost: (peer) => suspicions.lost(peer),
    whole: () => sender.base(),
    heard() {
      const { members } = ledger.state()
      const nowMs = clock.monotonicMs()
      const connected = new Set(host.peers().map(({ peer }) => peer))
      const out = new Map<string, HeardSite>()
      for (const [peer, { announcement, atMs, base, delta }] of last) {
        if (members.get(peer)?.isActive === true) {
          const isOutdated = delta !== undefined && delta.baseMs !== base?.timeMs
          out.set(peer, {
            announcement,
            ageMs: nowMs - atMs,
            isConnected: connected.has(peer),
            ...(isOutdated ? { isOutdated } : {}),
            ...(suspicions.isGone(peer) ? { isGone: true } : {}),
          })
        } else {
          last.delete(peer)
        }
      }
      return out
    },
  }
}

function saying(suspects: readonly string[]): Pick<SiteAnnouncement, 'suspects'> {
  return suspects.length === 0 ? {} : { suspects }
}

/** What one site said last. */
interface Heard {
  readonly timeMs: number
  readonly atMs: number
  /** All of itself; undefined when only changes were heard. */
  readonly base: SiteAnnouncement | undefined
  /** The last one since then. */
  readonly delta: AnnouncementDelta | undefined
  readonly announcement: SiteAnnouncement
}

function heardOf(parts: Omit<Heard, 'announcement'>): Heard {
  return { ...parts, announcement: announcementOf(parts) }
}

const NOTHING_SAID: Omit<SiteAnnouncement, 'timeMs' | 'bytesSent' | 'bytesReceived'> = {
  version: '',
  addresses: [],
  trees: [],
}

/** Of a delta without its base only that the site is there is known, and what it had before. */
function announcementOf({ base, delta }: Pick<Heard, 'base' | 'delta'>): SiteAnnouncement {
  if (delta === undefined) return base!
  if (base?.timeMs === delta.baseMs) return applyAnnouncementDelta(base, delta)
  const { timeMs, bytesSent, bytesReceived, suspects } = delta
  const { suspects: _, ...known } = base ?? NOTHING_SAID
  return { ...known, timeMs, bytesSent, bytesReceived, ...(suspects === undefined ? {} : { suspects }) }
}
