/**
 * What a site says next: all of itself, or what changed since it did. Decides by bytes: every site passes on what every site
 * says, so a mesh of 100 would drown in what one of its sites with 500 trees has to say each ten seconds.
 */
import { type AnnouncementDelta, deltaBetween, encodeDelta, isSameTree } from './announcement-delta.ts'
import { encodeAnnouncement, MAX_ANNOUNCEMENT_BYTES, type SiteAnnouncement } from './status-announcement.ts'

/**
 * Of one message: its author sends a copy to each connected member, and each passes on two or three. With each there go its
 * author, topic and signature, the headers of the layers below and their acknowledgements, and a word about it to some others: what
 * `npm run bench:gossip` counts at ten sites is 1,900 bytes a site for a message of 60.
 */
const COPIES = 3.5
const HEADER_BYTES = 480
/** That each site spends on the whole announcements of all, while nothing happens. */
const WHOLE_BYTES_PER_SECOND = 250
const MIN_WHOLE_MS = 60_000

export interface AnnouncementSender {
  /** Undefined: nothing changed but counters, and the others heard of this site lately. */
  next(
    now: SiteAnnouncement,
    asked: { readonly isBeat: boolean; readonly members: number },
  ): Uint8Array | undefined
  /** The whole announcement that deltas are based on now. */
  base(): Uint8Array | undefined
}

/** How often a site announces all of itself, when that takes `bytes`. */
export function wholePeriodMs(members: number, bytes: number): number {
  return Math.max(MIN_WHOLE_MS, (members * COPIES * (bytes + HEADER_BYTES) * 1000) / WHOLE_BYTES_PER_SECOND)
}

export function createAnnouncementSender(): AnnouncementSender {
  let base: { readonly announcement: SiteAnnouncement; readonly bytes: Uint8Array } | undefined
  let last: SiteAnnouncement | undefined

  function whole(now: SiteAnnouncement): Uint8Array {
    base = { announcement: now, bytes: encodeAnnouncement(now) }
    last = now
    return base.bytes
  }

  return {
    next(now, { isBeat, members }) {
      const delta = base === undefined ? undefined : deltaBetween(base.announcement, now)
      if (base === undefined || delta === undefined) return whole(now)
      if (!isBeat && last !== undefined && isSame(last, now)) return undefined
      const ageMs = now.timeMs - base.announcement.timeMs
      const isDue = isBeat && (ageMs < 0 || ageMs >= wholePeriodMs(members, base.bytes.length))
      const bytes = isDue ? undefined : encodeSmall(delta, base.bytes.length)
      if (bytes === undefined) return whole(now)
      last = now
      return bytes
    },
    base: () => base?.bytes,
  }
}

/** A delta that is half as long as the whole will only grow. */
function encodeSmall(delta: AnnouncementDelta, wholeBytes: number): Uint8Array | undefined {
  const bytes = encodeDelta(delta)
  const isSmall = bytes.length <= wholeBytes / 2 || delta.trees.length + delta.gone.length === 0
  return isSmall && bytes.length <= MAX_ANNOUNCEMENT_BYTES ? bytes : undefined
}

function isSame(a: SiteAnnouncement, b: SiteAnnouncement): boolean {
  if (a.trees.length !== b.trees.length) return false
  // What is no longer suspected is no news.
  if (b.suspects?.some((peer) => a.suspects?.includes(peer) !== true) === true) return false
  const known = new Map(a.trees.map((tree) => [tree.tree, tree]))
  return b.trees.every((tree) => {
    const before = known.get(tree.tree)
    return before !== undefined && isSameTree(before, tree)
  })
}
