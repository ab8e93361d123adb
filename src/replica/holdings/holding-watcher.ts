/** Gathers updates for one who watches a snapshot, and hands them over in batches, so that a block costs no message. */
import type { Clock } from '../../base/clock.ts'
import type { HoldingUpdate } from '../../net/ports.ts'

/**
 * How long changes are held back at most: 2 % of the time that the watch has lasted, within bounds. Each hop of a block
 * waits so long, so a short fetch loses no more of its time than a long one, and a long one costs few messages:
 * simulated, 200 ms add 0.3 s to 24 s over three regions, of a quarter of the messages.
 */
export function gatherMs(watchedMs: number): number {
  return Math.max(MIN_GATHER_MS, Math.min(MAX_GATHER_MS, watchedMs / 50))
}

const MIN_GATHER_MS = 50
const MAX_GATHER_MS = 200
/** Page numbers, or offsets, in one update. */
const MAX_UPDATE_ITEMS = 4096

export interface HoldingWatcher {
  push(update: HoldingUpdate): void
  /** Waits for updates and takes all of them. @throws the signal's reason */
  next(signal: AbortSignal): Promise<HoldingUpdate[]>
}

/**
 * What waits for a slow reader is merged and so bounded: by the pages in progress, a page number for each full one,
 * and one word for all that is complete.
 */
export function createWatcher(clock: Clock): HoldingWatcher {
  const full = new Set<number>()
  const blocks = new Map<number, Set<number>>()
  let isComplete = false
  let isUnknown = false
  const beganMs = clock.monotonicMs()
  let takenMs = Number.NEGATIVE_INFINITY
  let hasEmpty = false
  let wake: (() => void) | undefined

  const hasNews = (): boolean => isComplete || isUnknown || hasEmpty || full.size > 0 || blocks.size > 0

  function take(): HoldingUpdate[] {
    const updates: HoldingUpdate[] = []
    if (isComplete) updates.push({ kind: 'complete' })
    else {
      if (isUnknown) updates.push({ kind: 'unknown' })
      if (hasEmpty && full.size === 0 && blocks.size === 0) updates.push({ kind: 'pages', full: [] })
      for (const part of parts([...full])) updates.push({ kind: 'pages', full: part })
      for (const [page, offsets] of blocks)
        for (const part of parts([...offsets])) updates.push({ kind: 'blocks', page, offsets: part })
    }
    isUnknown = false
    hasEmpty = false
    isComplete = false
    full.clear()
    blocks.clear()
    return updates
  }

  return {
    push(update) {
      if (update.kind === 'complete') isComplete = true
      else if (update.kind === 'unknown') isUnknown = true
      else if (update.kind === 'pages') {
        if (update.full.length === 0) hasEmpty = true
        for (const page of update.full) {
          full.add(page)
          blocks.delete(page)
        }
      } else if (!full.has(update.page)) {
        const known = blocks.get(update.page) ?? new Set()
        for (const offset of update.offsets) known.add(offset)
        blocks.set(update.page, known)
      }
      wake?.()
    },
    async next(signal) {
      signal.throwIfAborted()
      if (!hasNews()) await until(signal, (done) => (wake = done))
      wake = undefined
      // What comes after a pause goes out at once (a neighbour waits for it before it uses the WAN, and small trees are
      // over in a few batches); what follows is gathered.
      const nowMs = clock.monotonicMs()
      const waitMs = isComplete ? 0 : takenMs + gatherMs(nowMs - beganMs) - nowMs
      if (waitMs > 0) {
        let cancel: (() => void) | undefined
        try {
          await until(signal, (done) => (cancel = clock.after(waitMs, done)))
        } finally {
          cancel?.()
        }
      }
      takenMs = clock.monotonicMs()
      return take()
    },
  }
}

function parts(numbers: readonly number[]): number[][] {
  const all: number[][] = []
  for (let at = 0; at < numbers.length; at += MAX_UPDATE_ITEMS)
    all.push(numbers.slice(at, at + MAX_UPDATE_ITEMS))
  return all
}

function until(signal: AbortSignal, begin: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    begin(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
  })
}
