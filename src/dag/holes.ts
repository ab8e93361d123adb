/**
 * Holes of a file as its entry keeps them: offset and length by turns, in ascending order, apart from each other. What
 * file systems say of one file differs with their block sizes, so holes are rounded inward to HOLE_GRAIN_BYTES (the
 * end of the file is a boundary too), and what does not span a grain is none.
 *
 * A hole says where a check-out need not write; content has the last word: its bytes there are zeros, or the hole is
 * not left.
 */
import { HOLE_GRAIN_BYTES, MAX_HOLES } from './limits.ts'

export interface HoleCollector {
  /** A hole as the file system tells it; in ascending order. */
  add(startByte: number, endByte: number): void
  /** Normalised: offset, length by turns. `dropped` counts holes beyond MAX_HOLES, the smallest of all. */
  finish(): { readonly holes: readonly number[]; readonly dropped: number }
}

/** Holds 2 * MAX_HOLES holes, however many the file has. Of equal ones the first are kept. */
export function createHoleCollector(sizeBytes: number): HoleCollector {
  const kept: { start: number; end: number }[] = []
  let dropped = 0

  function prune(): void {
    if (kept.length <= MAX_HOLES) return
    dropped += kept.length - MAX_HOLES
    kept.sort((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start)
    kept.length = MAX_HOLES
    kept.sort((a, b) => a.start - b.start)
  }

  return {
    add(startByte, endByte) {
      const start = Math.ceil(startByte / HOLE_GRAIN_BYTES) * HOLE_GRAIN_BYTES
      const end = endByte >= sizeBytes ? sizeBytes : Math.floor(endByte / HOLE_GRAIN_BYTES) * HOLE_GRAIN_BYTES
      if (end <= start) return
      const last = kept.at(-1)
      if (last !== undefined && last.end >= start) last.end = Math.max(last.end, end)
      else kept.push({ start, end })
      if (kept.length >= 2 * MAX_HOLES) prune()
    },
    finish() {
      prune()
      return { holes: kept.flatMap(({ start, end }) => [start, end - start]), dropped }
    },
  }
}

/** What both directions hold to. */
export function problemOfHoles(holes: readonly number[], sizeBytes: number): string | undefined {
  if (holes.length === 0 || holes.length % 2 !== 0 || holes.length > 2 * MAX_HOLES) {
    return `holes are 1 to ${MAX_HOLES} pairs of offset and length`
  }
  let lastEnd = -1
  for (let at = 0; at < holes.length; at += 2) {
    const start = holes[at]!
    const length = holes[at + 1]!
    const end = start + length
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start <= lastEnd || length <= 0) {
      return 'holes are not in order, or touch'
    }
    if (end > sizeBytes || start % HOLE_GRAIN_BYTES !== 0) return 'a hole is not where one can be'
    if (end !== sizeBytes && end % HOLE_GRAIN_BYTES !== 0) return 'a hole is not where one can be'
    lastEnd = end
  }
  return undefined
}

/** Holes (offset, length by turns) as they lie in `[startByte, endByte)`, cut at its ends. */
export function holesWithin(holes: readonly number[], startByte: number, endByte: number): number[] {
  const within: number[] = []
  for (let at = firstHoleAfter(holes, startByte); at < holes.length && holes[at]! < endByte; at += 2) {
    const start = Math.max(holes[at]!, startByte)
    within.push(start, Math.min(holes[at]! + holes[at + 1]!, endByte) - start)
  }
  return within
}

/** Index of the first hole that ends after `offset`. */
export function firstHoleAfter(holes: readonly number[], offset: number): number {
  let low = 0
  let high = holes.length / 2
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holes[2 * middle]! + holes[2 * middle + 1]! <= offset) low = middle + 1
    else high = middle
  }
  return 2 * low
}
