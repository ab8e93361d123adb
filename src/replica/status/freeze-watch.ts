/**
 * Notices a freeze: somebody between this site and a publisher who lets nothing newer through, so that what is newest here looks
 * newest for ever. Heads do not expire, so it shows elsewhere: a publisher says in its status, signed and again and again, which of
 * its heads is the newest. Alarms follow when it has not been heard for long, or says a head that does not come. Serving goes on.
 */
import type { MeshState } from '../../record/mesh-state.ts'
import type { Alarm, HeardSite } from './status.ts'

export interface FreezeOptions {
  /** Without a word of its publisher for so long; 0 for never. */
  readonly silentMs: number
  /** A head that its publisher has and that does not come here. */
  readonly withheldMs?: number
}

export interface FreezeWatch {
  /**
   * @param kept names of the trees that this site keeps
   * @param heard by PeerId
   * @param monotonicMs counts from the first call where a publisher has never been heard of
   */
  alarms(
    state: Pick<MeshState, 'members' | 'trees'>,
    now: {
      readonly kept: Iterable<string>
      readonly heard: ReadonlyMap<string, HeardSite>
      readonly nowMs: number
      readonly monotonicMs: number
    },
  ): Alarm[]
}

const WITHHELD_MS = 60 * 60_000
const HOUR_MS = 3_600_000

export function createFreezeWatch(
  self: { readonly peer: string },
  { silentMs, withheldMs = Math.min(WITHHELD_MS, silentMs) }: FreezeOptions,
): FreezeWatch {
  let beganMs: number | undefined
  /** Heads that were said and are not here, and since when. */
  const waited = new Map<string, { readonly sequence: number; readonly sinceMs: number }>()

  /** By its arrival, and by what it says of itself: an old one that was held back is no newer for coming late. */
  function ageOf(site: HeardSite | undefined, nowMs: number, monotonicMs: number): number {
    if (site === undefined) return monotonicMs - (beganMs ?? monotonicMs)
    return Math.max(site.ageMs, nowMs - site.announcement.timeMs)
  }

  function withheld(tree: string, said: number, known: number, monotonicMs: number): number {
    if (said <= known) {
      waited.delete(tree)
      return 0
    }
    const before = waited.get(tree)
    // A later one does not start the time anew: as long as something is missing it runs.
    const sinceMs = before !== undefined && before.sequence > known ? before.sinceMs : monotonicMs
    waited.set(tree, { sequence: said, sinceMs })
    return monotonicMs - sinceMs
  }

  return {
    alarms({ members, trees }, { kept, heard, nowMs, monotonicMs }) {
      if (silentMs === 0) return []
      beganMs ??= monotonicMs
      const out: Alarm[] = []
      const silent = new Map<string, string[]>()
      const seen = new Set<string>()
      for (const name of kept) {
        const tree = trees.get(name)
        const publisher = tree?.epoch?.publisher
        // Only a node speaks for itself; whose key is no member's has no status.
        if (publisher === undefined || publisher === self.peer || members.get(publisher)?.isActive !== true)
          continue
        seen.add(name)
        const site = heard.get(publisher)
        if (ageOf(site, nowMs, monotonicMs) > silentMs)
          silent.set(publisher, [...(silent.get(publisher) ?? []), name])
        const said = site?.announcement.trees.find((each) => each.tree === name)?.completeSequence ?? 0
        const known = tree?.newest?.sequence ?? 0
        if (withheld(name, said, known, monotonicMs) > withheldMs) {
          out.push({
            kind: 'head-withheld',
            subject: name,
            detail: `its publisher ${siteOf(publisher)} says @${said}, and @${known} is the newest that has come here: somebody may be holding records back. Can this site reach others? See mirrormesh member list`,
          })
        }
      }
      for (const [publisher, names] of silent) {
        const hours = Math.floor(ageOf(heard.get(publisher), nowMs, monotonicMs) / HOUR_MS)
        const which = names.length === 1 ? names[0]! : `${names.length} trees, such as ${names[0]!}`
        out.push({
          kind: 'publisher-silent',
          subject: siteOf(publisher),
          detail: `nothing new was heard of it for ${hours} h: what is newest here of ${which} may not be the newest. Is it up, and are the clocks right?`,
        })
      }
      for (const name of waited.keys()) if (!seen.has(name)) waited.delete(name)
      return out

      function siteOf(peer: string): string {
        return members.get(peer)?.site ?? peer
      }
    },
  }
}
