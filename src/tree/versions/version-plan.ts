/**
 * Which versions of a folder stay, which stay for a while yet, and which go. Pure.
 *
 * The newest N stay, what `latest` leads to, and what is tagged. All others go once their time of grace is over, which
 * begins when they are first found to be superfluous.
 */

export interface VersionPlanInput<T extends { readonly sequence: number; readonly snapshot: string }> {
  /** Newest first. */
  readonly versions: readonly T[]
  /** Of the version that `latest` leads to, or is about to. */
  readonly latest: number | undefined
  /** Of the version that it led to until now, if it is about to lead to another. */
  readonly before?: number | undefined
  readonly keep: number
  readonly isTagged: (snapshot: string) => boolean
  /** It is not to lie anywhere any more. */
  readonly isGone?: (snapshot: string) => boolean
  /** Whose time of grace is running, by their sequences as text. */
  readonly old: readonly { readonly name: string; readonly untilMs: number }[]
  readonly keepOldMs: number
  readonly nowMs: number
}

export interface VersionPlan<T> {
  readonly staying: readonly T[]
  readonly waiting: readonly { readonly name: string; readonly untilMs: number }[]
  readonly due: readonly T[]
}

/** NFS clients go on for a minute with where a link led when they looked. */
const LINK_CACHE_MS = 60_000

export function planVersions<T extends { readonly sequence: number; readonly snapshot: string }>({
  versions,
  latest,
  before,
  keep,
  isTagged,
  isGone = () => false,
  old,
  keepOldMs,
  nowMs,
}: VersionPlanInput<T>): VersionPlan<T> {
  const staying: T[] = []
  const waiting: { name: string; untilMs: number }[] = []
  const due: T[] = []
  const times = new Map(old.map(({ name, untilMs }) => [name, untilMs]))
  for (const [at, version] of versions.entries()) {
    const { sequence, snapshot } = version
    if (isGone(snapshot) && sequence !== latest) {
      due.push(version)
      continue
    }
    if (at < keep || sequence === latest || isTagged(snapshot)) {
      staying.push(version)
      continue
    }
    const name = String(sequence)
    const graceMs = sequence === before ? Math.max(keepOldMs, LINK_CACHE_MS) : keepOldMs
    const untilMs = sequence === before ? nowMs + graceMs : (times.get(name) ?? nowMs + graceMs)
    if (untilMs > nowMs) waiting.push({ name, untilMs })
    else due.push(version)
  }
  return { staying, waiting, due }
}
