/**
 * Tells soon which sites are gone, where a large mesh hears of each of its sites seldom (announce-period.ts). Who has lost its
 * connection to a site, and has not found it again nor heard of it for a while, says so in its status; the site itself, if it is
 * there at all, hears that like everybody and says at once that it is. What it does not contradict within a time is gone, until it
 * is heard of again.
 *
 * So nobody can talk a site away that others can hear, a death costs a few messages however many noticed it (who hears that it was
 * said says nothing), and while nothing happens nothing is sent. A site whose program does not know how to contradict is never
 * taken to be gone by this. In a mesh that is cut in two each half says of the other what is so: it is not heard of there.
 */
import type { Clock } from '../../base/clock.ts'

export interface SuspicionComponents {
  readonly clock: Clock
  readonly random: () => number
  readonly isMember: (peer: string) => boolean
  readonly isConnected: (peer: string) => boolean
  /** By the monotonic clock; undefined for never. */
  readonly heardAtMs: (peer: string) => number | undefined
  /** Its program answers a suspicion. */
  readonly canContradict: (peer: string) => boolean
  /** There is something to say. */
  readonly onSay: () => void
  /** Somebody suspects this very site. */
  readonly onSuspected: () => void
  /** The site is taken to be gone from now on. */
  readonly onGone: (peer: string) => void
}

export interface Suspicions {
  /** The connection to it has ended. */
  lost(peer: string): void
  /** What another site says. */
  told(suspects: readonly string[], self: string): void
  /** What this site has to say of others. */
  say(): string[]
  isGone(peer: string): boolean
  stop(): void
}

/** A restart of a node takes less. */
export const SUSPECT_AFTER_MS = 20_000
/** All that were connected lose it at one time: the first of them says so, and the others hear that. */
export const SPREAD_MS = 15_000
/** A suspicion and its contradiction cross the mesh in a second or two; links may be slow, and clocks of sites have nothing to do with it. */
export const CONTRADICT_MS = 30_000
/** It is in the status for so long, should the message be lost to some. */
const SAY_MS = 60_000
export const MAX_SUSPECTS = 64
const MAX_KNOWN = 4096

export function createSuspicions(components: SuspicionComponents): Suspicions {
  const { clock, random, isMember, isConnected, heardAtMs, canContradict, onSay, onSuspected, onGone } =
    components
  const lostAtMs = new Map<string, number>()
  const suspectedAtMs = new Map<string, number>()
  const saidAtMs = new Map<string, number>()
  const timers = new Set<() => void>()
  let isStopped = false
  let isLookDue = false

  function after(delayMs: number, task: () => void): void {
    if (isStopped) return
    const cancel = clock.after(delayMs, () => {
      timers.delete(cancel)
      task()
    })
    timers.add(cancel)
  }

  function isSilentSince(peer: string, sinceMs: number): boolean {
    return !isConnected(peer) && isMember(peer) && (heardAtMs(peer) ?? Number.NEGATIVE_INFINITY) <= sinceMs
  }

  function suspect(peer: string, nowMs: number): void {
    if (suspectedAtMs.size >= MAX_KNOWN) forgetOld()
    if (suspectedAtMs.size >= MAX_KNOWN) return
    suspectedAtMs.set(peer, nowMs)
    after(CONTRADICT_MS + 100, () => {
      if (isGone(peer)) onGone(peer)
    })
  }

  function forgetOld(): void {
    for (const [peer, sinceMs] of suspectedAtMs) if (!isSilentSince(peer, sinceMs)) suspectedAtMs.delete(peer)
  }

  function isSuspected(peer: string): boolean {
    const sinceMs = suspectedAtMs.get(peer)
    if (sinceMs === undefined) return false
    if (isSilentSince(peer, sinceMs)) return true
    suspectedAtMs.delete(peer)
    saidAtMs.delete(peer)
    return false
  }

  function isGone(peer: string): boolean {
    if (!isSuspected(peer) || !canContradict(peer)) return false
    return clock.monotonicMs() - suspectedAtMs.get(peer)! >= CONTRADICT_MS
  }

  /** All at once that have been away for long enough: those who hear it need not say the same one by one. */
  function look(): void {
    const nowMs = clock.monotonicMs()
    let hasNews = false
    isLookDue = false
    for (const [peer, sinceMs] of lostAtMs) {
      if (!isSilentSince(peer, sinceMs) || isSuspected(peer)) lostAtMs.delete(peer)
      else if (nowMs - sinceMs >= SUSPECT_AFTER_MS) {
        lostAtMs.delete(peer)
        suspect(peer, nowMs)
        saidAtMs.set(peer, nowMs)
        hasNews = true
      }
    }
    if (hasNews) onSay()
    if (lostAtMs.size > 0) lookSoon(SUSPECT_AFTER_MS - (nowMs - Math.min(...lostAtMs.values())))
  }

  /** One turn for all that are lost: many turns of one site would leave no time for the others' word to arrive. */
  function lookSoon(delayMs: number): void {
    if (isLookDue) return
    isLookDue = true
    after(Math.round(delayMs + random() * SPREAD_MS), look)
  }

  return {
    lost(peer) {
      if (!isMember(peer) || lostAtMs.has(peer)) return
      lostAtMs.set(peer, clock.monotonicMs())
      lookSoon(SUSPECT_AFTER_MS)
    },
    told(suspects, self) {
      const nowMs = clock.monotonicMs()
      for (const peer of suspects) {
        if (peer === self) onSuspected()
        // What is known of it is older than the suspicion, or there is nothing to suspect.
        else if (isMember(peer) && !isConnected(peer) && !isSuspected(peer)) suspect(peer, nowMs)
      }
    },
    say() {
      const nowMs = clock.monotonicMs()
      const out: string[] = []
      for (const [peer, atMs] of saidAtMs) {
        if (nowMs - atMs >= SAY_MS || !isSuspected(peer)) saidAtMs.delete(peer)
        else if (out.length < MAX_SUSPECTS) out.push(peer)
      }
      return out
    },
    isGone,
    stop() {
      isStopped = true
      for (const cancel of timers) cancel()
      timers.clear()
    },
  }
}
