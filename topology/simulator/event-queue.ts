/**
 * What is still to happen in a simulation, by time: a binary heap. Tasks of one instant run in the order in which they
 * were set. Millions of them pass through it, so it holds plain numbers and one reference each.
 */

export interface Task {
  run(): void
}

export interface EventQueue {
  nowMs(): number
  /** Never before now. */
  at(atMs: number, task: Task): void
  after(delayMs: number, task: () => void): void
  /** Moves to the next instant and runs its first task; false when there is none, or none by `limitMs`. */
  runNext(limitMs: number): boolean
}

export function createEventQueue(): EventQueue {
  let times = new Float64Array(1024)
  let orders = new Float64Array(1024)
  const tasks: Task[] = []
  let nowMs = 0
  let nextOrder = 0

  function isBefore(a: number, b: number): boolean {
    return times[a]! < times[b]! || (times[a] === times[b] && orders[a]! < orders[b]!)
  }

  function swap(a: number, b: number): void {
    const time = times[a]!
    const order = orders[a]!
    const task = tasks[a]!
    times[a] = times[b]!
    orders[a] = orders[b]!
    tasks[a] = tasks[b]!
    times[b] = time
    orders[b] = order
    tasks[b] = task
  }

  function grow(): void {
    const moreTimes = new Float64Array(times.length * 2)
    const moreOrders = new Float64Array(times.length * 2)
    moreTimes.set(times)
    moreOrders.set(orders)
    times = moreTimes
    orders = moreOrders
  }

  function push(atMs: number, task: Task): void {
    let at = tasks.length
    if (at === times.length) grow()
    times[at] = Math.max(nowMs, atMs)
    orders[at] = nextOrder++
    tasks.push(task)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(at, parent)) break
      swap(at, parent)
      at = parent
    }
  }

  /** Takes the first task out. */
  function pop(): Task {
    const first = tasks[0]!
    const last = tasks.length - 1
    swap(0, last)
    tasks.pop()
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      if (left >= last) break
      const right = left + 1
      const child = right < last && isBefore(right, left) ? right : left
      if (!isBefore(child, at)) break
      swap(at, child)
      at = child
    }
    return first
  }

  return {
    nowMs: () => nowMs,
    at: push,
    after: (delayMs, task) => push(nowMs + delayMs, { run: task }),
    runNext(limitMs) {
      const nextMs = times[0]!
      if (tasks.length === 0 || nextMs > limitMs) return false
      nowMs = nextMs
      pop().run()
      return true
    },
  }
}
