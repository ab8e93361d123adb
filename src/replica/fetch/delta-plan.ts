/**
 * What a set of encodings promises for the blocks of one snapshot: which delta gives which positions, and how each delta
 * stands. Grows with the set. Plain data and look-ups; nothing is fetched or made here.
 */
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import type { IndexedBlock } from '../../dag/block-index.ts'
import type { DeltaEntry } from '../../dag/encodings.ts'
import { MAX_DELTA_BLOCKS } from '../../dag/limits.ts'
import { MAX_SET_DELTAS } from '../../delta/delta.ts'

export type DeltaState =
  /** To be fetched. */
  | 'listed'
  /** Stored here, and not applied yet. */
  | 'arrived'
  /** Its targets are stored. */
  | 'done'
  /** It gives nothing here: its targets are fetched as they are. */
  | 'failed'

export interface PlannedDelta {
  /** Where it stands in the index of the set. */
  readonly page: number
  readonly offset: number
  readonly cid: Cid
  /** Of the delta itself. */
  readonly lengthBytes: number
  readonly entry: DeltaEntry
  /** The lowest position of its targets. */
  readonly first: number
  state: DeltaState
}

export interface DeltaPlan {
  /**
   * One more page of the set.
   * @throws MirrorError `corrupt` when the plan names what neither snapshot has, `limit` when it is too long to follow
   */
  add(page: number, blocks: readonly IndexedBlock[], entries: readonly DeltaEntry[]): PlannedDelta[]
  at(page: number, offset: number): PlannedDelta | undefined
  /** For each position from `first` on, the delta that gives it: one that has not failed rather than one that has. */
  covering(first: number, count: number): (PlannedDelta | undefined)[]
  /** Deltas that are still to come or to be applied. */
  hasOpen(): boolean
}

interface Span {
  readonly first: number
  readonly end: number
  readonly delta: PlannedDelta
}

/** Ranges of targets that are held: about 100 bytes each. */
const MAX_SPANS = 4 * MAX_SET_DELTAS

export function createDeltaPlan(totals: {
  readonly targetBlocks: number
  readonly baseBlocks: number
}): DeltaPlan {
  const pages: PlannedDelta[][] = []
  const spans: Span[] = []
  let isSorted = true
  let deltas = 0

  function spansFrom(position: number): number {
    if (!isSorted) spans.sort((a, b) => a.first - b.first)
    isSorted = true
    let [low, high] = [0, spans.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (spans[middle]!.first < position) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    add(page, blocks, entries) {
      if (page !== pages.length || entries.length !== blocks.length)
        throw lie(`page ${page} has ${blocks.length} deltas and a plan for ${entries.length}`)
      deltas += blocks.length
      const added = entries.map((entry, offset): PlannedDelta => {
        for (const [ranges, total] of [
          [entry.targets, totals.targetBlocks],
          [entry.base, totals.baseBlocks],
        ] as const)
          for (const { first, count } of ranges)
            if (first + count > total) throw lie(`a delta names block ${first + count} of ${total}`)
        const first = Math.min(...entry.targets.map((range) => range.first))
        return { page, offset, ...blocks[offset]!, entry, first, state: 'listed' }
      })
      for (const delta of added)
        for (const { first, count } of delta.entry.targets) spans.push({ first, end: first + count, delta })
      if (deltas > MAX_SET_DELTAS || spans.length > MAX_SPANS)
        throw new MirrorError(
          'limit',
          `a set of ${deltas} deltas and ${spans.length} ranges is too long to follow`,
        )
      isSorted = false
      pages.push(added)
      return added
    },
    at: (page, offset) => pages[page]?.[offset],
    covering(first, count) {
      const found = new Array<PlannedDelta | undefined>(count).fill(undefined)
      // No range is longer than a delta may be.
      for (let at = spansFrom(first - MAX_DELTA_BLOCKS); at < spans.length; at++) {
        const span = spans[at]!
        if (span.first >= first + count) break
        for (let i = Math.max(span.first, first); i < Math.min(span.end, first + count); i++) {
          const known = found[i - first]
          if (known === undefined || known.state === 'failed') found[i - first] = span.delta
        }
      }
      return found
    },
    hasOpen: () => pages.some((page) => page.some(({ state }) => state === 'listed' || state === 'arrived')),
  }
}

function lie(what: string): MirrorError {
  return new MirrorError('corrupt', `a set of encodings is not right: ${what}`)
}
