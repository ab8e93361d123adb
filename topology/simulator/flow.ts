/**
 * What one site sends to another: parcels, in order, through the pipes between them. Like a TCP connection it keeps no
 * more in the network than the path holds and a queue of a moment beside it, and takes only its share of a pipe that
 * others use too; what is not sent yet can still be given up.
 */
import type { EventQueue, Task } from './event-queue.ts'
import type { Pipe } from './pipes.ts'

/** Blocks that travel together: at most this, or one block. */
export const PARCEL_BYTES = 64 * 1024
/** What stands in queues, as time. */
const QUEUE_MS = 60

export interface Parcel {
  readonly request: number
  readonly page: number
  readonly offsets: readonly number[]
  readonly bytes: number
}

export interface FlowOptions {
  readonly queue: EventQueue
  readonly route: readonly Pipe[]
  readonly oneWayMs: number
  /** Bytes on the wire for each byte of a block. */
  readonly overhead: number
  /** The sender is not running: what is in the network arrives, and nothing follows. */
  readonly isHeld: () => boolean
  /** Asked when a parcel's turn has come. */
  readonly isWanted: (parcel: Parcel) => boolean
  readonly onSent: (parcel: Parcel) => void
  readonly onArrival: (parcel: Parcel) => void
}

export interface Flow {
  send(parcel: Parcel): void
  /** The path is cut: what is in the network is lost, and sent again after `mend`. */
  cut(): void
  mend(): void
  /** Nothing more arrives: the sender died, or the connection broke. */
  close(): void
}

/** One object for each pair of sites that exchange blocks, of which there are many: no closures but the options'. */
interface State {
  readonly options: FlowOptions
  /** Pipes with a limit. */
  readonly route: readonly Pipe[]
  /** Not sent yet, from `head` on. */
  waiting: Parcel[]
  head: number
  inNetwork: number
  isActive: boolean
  isCut: boolean
  isClosed: boolean
  /** Parcels of an earlier epoch are lost. */
  epoch: number
}

export function createFlow(options: FlowOptions): Flow {
  const state: State = {
    options,
    route: options.route.filter(({ bytesPerMs }) => Number.isFinite(bytesPerMs)),
    waiting: [],
    head: 0,
    inNetwork: 0,
    isActive: false,
    isCut: false,
    isClosed: false,
    epoch: 0,
  }
  return {
    send(parcel) {
      if (state.isClosed) return
      state.waiting.push(parcel)
      setActive(state, true)
      pump(state)
    },
    cut() {
      state.isCut = true
      state.epoch++
      state.inNetwork = 0
      setActive(state, false)
    },
    mend() {
      state.isCut = false
      setActive(state, state.head < state.waiting.length)
      pump(state)
    },
    close() {
      state.isClosed = true
      state.waiting = []
      state.head = 0
      setActive(state, false)
    },
  }
}

function windowBytes({ route, options }: State): number {
  let window = Number.POSITIVE_INFINITY
  for (const pipe of route)
    window = Math.min(window, (pipe.bytesPerMs * (options.oneWayMs + QUEUE_MS)) / Math.max(1, pipe.flows))
  return Math.max(PARCEL_BYTES, window)
}

function setActive(state: State, active: boolean): void {
  if (active === state.isActive) return
  state.isActive = active
  for (const pipe of state.route) pipe.flows += active ? 1 : -1
}

/** Sends what fits into the window. */
function pump(state: State): void {
  const { options } = state
  if (state.isCut || state.isClosed || options.isHeld()) return
  const window = windowBytes(state)
  while (state.head < state.waiting.length) {
    const parcel = state.waiting[state.head]!
    if (!options.isWanted(parcel)) {
      state.head++
      continue
    }
    // The last one may stand out: else a window of less than two parcels would leave the path idle.
    if (state.inNetwork >= window) break
    state.head++
    state.inNetwork += parcel.bytes
    options.onSent(parcel)
    new Transit(state, parcel).run()
  }
  // What was sent is let go of when it is the greater part: each parcel is moved once at most.
  if (state.head * 2 >= state.waiting.length) {
    state.waiting = state.waiting.slice(state.head)
    state.head = 0
  }
  setActive(state, state.inNetwork > 0 || state.head < state.waiting.length)
}

/** A parcel on its way: runs when it comes to the next pipe, and when it is there. */
class Transit implements Task {
  readonly #state: State
  readonly #parcel: Parcel
  readonly #epoch: number
  #stage = 0

  constructor(state: State, parcel: Parcel) {
    this.#state = state
    this.#parcel = parcel
    this.#epoch = state.epoch
  }

  run(): void {
    const { route, options, epoch, isClosed } = this.#state
    if (isClosed) return
    if (this.#epoch !== epoch) {
      this.#state.waiting.push(this.#parcel)
      pump(this.#state)
    } else if (this.#stage > route.length) {
      this.#state.inNetwork -= this.#parcel.bytes
      options.onArrival(this.#parcel)
      pump(this.#state)
    } else this.#pass(route, options)
  }

  #pass(route: readonly Pipe[], { queue, overhead, oneWayMs }: FlowOptions): void {
    const pipe = route[this.#stage]
    const bytes = this.#parcel.bytes * overhead
    let endMs = queue.nowMs()
    if (pipe !== undefined) {
      endMs = Math.max(endMs, pipe.freeMs) + bytes / pipe.bytesPerMs
      pipe.freeMs = endMs
      pipe.bytes += bytes
    }
    this.#stage++
    const next = route[this.#stage]
    if (next !== undefined) {
      // The next pipe passes on what comes in as it comes: its last byte leaves right after the last has come.
      queue.at(endMs - bytes / next.bytesPerMs, this)
      return
    }
    this.#stage = route.length + 1
    queue.at(endMs + oneWayMs, this)
  }
}
