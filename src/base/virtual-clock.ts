import type { Clock } from './clock.ts'

/** A clock that moves only when told to: for simulations and tests. Tasks due at one instant run in the order they were set. */
export class VirtualClock implements Clock {
  #nowMs: number
  #order = 0
  #tasks: { atMs: number; order: number; task: () => void }[] = []

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, task: () => void): () => void {
    const entry = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, task }
    // Binary insertion keeps the list sorted by (atMs, order): setting a task costs O(log n) compares.
    let low = 0
    let high = this.#tasks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#tasks[middle]!.atMs <= entry.atMs) low = middle + 1
      else high = middle
    }
    this.#tasks.splice(low, 0, entry)
    return () => {
      const at = this.#tasks.indexOf(entry)
      if (at >= 0) this.#tasks.splice(at, 1)
    }
  }

  /** The instant of the next task, or undefined when nothing is set. */
  nextMs(): number | undefined {
    return this.#tasks[0]?.atMs
  }

  /** Moves to `atMs`, running every task due by then, in order. */
  advanceTo(atMs: number): void {
    for (let next = this.#tasks[0]; next !== undefined && next.atMs <= atMs; next = this.#tasks[0]) {
      this.#tasks.shift()
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.task()
    }
    this.#nowMs = Math.max(this.#nowMs, atMs)
  }
}
