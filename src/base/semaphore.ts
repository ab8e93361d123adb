/**
 * Bounds how many units of work (calls, or bytes) are in flight. Waiters are served in the order they came, so a
 * large request is never starved by small ones; those of a higher priority before the others.
 */
export class Semaphore {
  readonly #limit: number
  #used = 0
  #waiters: { units: number; priority: number; grant: () => void }[] = []

  /** @param limit units that may be held at one time */
  constructor(limit: number) {
    this.#limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** Waits for `units` (more than the limit counts as the limit); resolves to the function that gives them back. */
  async acquire(units = 1, signal?: AbortSignal, priority = 0): Promise<() => void> {
    const wanted = Math.min(units, this.#limit)
    signal?.throwIfAborted()
    if (this.#waiters.length > 0 || this.#used + wanted > this.#limit) {
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
          this.#wake()
          reject(signal?.reason)
        }
        const waiter = {
          units: wanted,
          priority,
          grant: () => {
            signal?.removeEventListener('abort', onAbort)
            resolve()
          },
        }
        const behind = this.#waiters.findIndex((other) => other.priority < priority)
        this.#waiters.splice(behind < 0 ? this.#waiters.length : behind, 0, waiter)
        signal?.addEventListener('abort', onAbort, { once: true })
      })
    } else {
      this.#used += wanted
    }
    let released = false
    return () => {
      if (released) return
      released = true
      this.#used -= wanted
      this.#wake()
    }
  }

  /** Runs `task` while holding `units`. */
  async run<T>(task: () => Promise<T>, units = 1, signal?: AbortSignal, priority = 0): Promise<T> {
    const release = await this.acquire(units, signal, priority)
    try {
      return await task()
    } finally {
      release()
    }
  }

  #wake(): void {
    for (
      let next = this.#waiters[0];
      next !== undefined && this.#used + next.units <= this.#limit;
      next = this.#waiters[0]
    ) {
      this.#waiters.shift()
      this.#used += next.units
      next.grant()
    }
  }
}
