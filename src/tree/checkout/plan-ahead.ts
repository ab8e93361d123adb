/**
 * Plans batches before a thread asks for one, so that threads do not wait for the plan and the plan not for them. Whoever asks
 * gets the next in order, or the plan's error.
 */
export interface PlanAhead<Batch> {
  next(): Promise<IteratorResult<Batch, void>>
}

/** @param depth batches that are planned and not asked for */
export function planAhead<Batch>(
  plan: AsyncGenerator<Batch, void, undefined>,
  depth: number,
): PlanAhead<Batch> {
  const ready: Promise<IteratorResult<Batch, void>>[] = []

  function fill(count: number): void {
    while (ready.length < count) {
      const next = plan.next()
      // Whoever asks hears of it; nobody may.
      next.catch(() => undefined)
      ready.push(next)
    }
  }

  fill(depth)
  return {
    next() {
      fill(depth + 1)
      return ready.shift()!
    },
  }
}
