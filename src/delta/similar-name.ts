/**
 * Which older name a new one is likely a new version of: `vmlinuz-6.1.0-54` of `vmlinuz-6.1.0-53`, `pkg-1.2-4.deb` of
 * `pkg-1.2-3.deb`, `app.8f3e01c2.js` of `app.77ab90d1.js`. Numbers and hexadecimal hashes count for nothing; what is left must be
 * the same, or else most of the name.
 */
import type { Entry } from '../dag/entry.ts'

/** Digits, and runs of hexadecimal digits that are long enough to be a hash. */
const VERSION = /[0-9a-f]{6,}|[0-9]+/g
/** Of the longer name, in common beginning and end. */
const LEAST_SHARE = 0.6

/** The one of `candidates` that `entry` most likely came from; the last of several that are as good. */
export function findSimilarName(entry: Entry, candidates: readonly Entry[]): Entry | undefined {
  const { name, shape } = spell(entry)
  let best: Entry | undefined
  let bestScore = 0
  for (const candidate of candidates) {
    if (candidate.type !== entry.type) continue
    const other = spell(candidate)
    const isSameShape = other.shape === shape
    // Looking on costs more than what is left to find.
    if (!isSameShape && bestScore > 1) continue
    const share = commonEnds(name, other.name) / Math.max(name.length, other.name.length)
    const score = isSameShape ? 1 + share : share >= LEAST_SHARE ? share : 0
    if (score > 0 && score >= bestScore) {
      best = candidate
      bestScore = score
    }
  }
  return best
}

interface Spelled {
  /** One character a byte: names need not be UTF-8. */
  readonly name: string
  readonly shape: string
}

/** A directory's entries are candidates many times over. */
const spelled = new WeakMap<Entry, Spelled>()

function spell(entry: Entry): Spelled {
  let found = spelled.get(entry)
  if (found === undefined) {
    const name = Buffer.from(entry.name).toString('latin1')
    found = { name, shape: name.replace(VERSION, '#') }
    spelled.set(entry, found)
  }
  return found
}

function commonEnds(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length)
  let start = 0
  while (start < shorter && a[start] === b[start]) start += 1
  let end = 0
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1
  return start + end
}
