/**
 * How long a gateway may take for a block before the others are preferred: a multiple of what those take, once enough of their
 * answers have been seen. On a slow line all are slow, and nobody is judged for it.
 */
export interface Patience {
  answered(origin: string, tookMs: number): void
  /** Undefined: nothing is known that it could be compared with. */
  ofMs(origin: string, isCounted: (other: string) => boolean): number | undefined
}

/** Answers of all others together, before anybody is judged by them. */
const MIN_ANSWERS = 8
const KEPT_ANSWERS = 16
const TIMES = 8
/** Nobody is left for less. */
const LEAST_MS = 4_000

export function createPatience(): Patience {
  const answers = new Map<string, number[]>()
  return {
    answered(origin, tookMs) {
      const last = answers.get(origin) ?? []
      answers.set(origin, [...last, tookMs].slice(-KEPT_ANSWERS))
    },
    ofMs(origin, isCounted) {
      const times = [...answers].flatMap(([other, took]) =>
        other !== origin && isCounted(other) ? took : [],
      )
      if (times.length < MIN_ANSWERS) return undefined
      const middle = times.toSorted((a, b) => a - b)[times.length >> 1]!
      return Math.max(LEAST_MS, TIMES * middle)
    },
  }
}
