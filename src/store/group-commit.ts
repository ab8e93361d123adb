/**
 * Turns a costly `run` (a disk sync) into one that concurrent callers share. A call is answered by a run that starts
 * after it: the one in progress may have begun too early to cover it. At most one run is going and one is due.
 */
export function groupCommit(run: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> | undefined
  let next: Promise<void> | undefined

  async function start(previous: Promise<void> | undefined): Promise<void> {
    // The previous run's error belongs to its own callers.
    await previous?.catch(() => undefined)
    current = next
    next = undefined
    await run()
  }

  return () => {
    next ??= start(current)
    return next
  }
}
