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

export function createFlow(options: FlowOptions): Flow {
  const { queue, oneWayMs, overhead, isWanted, onSent, onArrival } = options
  const route = options.route.filter(({ bytesPerMs }) => Number.isFinite(bytesPerMs))
  let waiting: Parcel[] = []
  let head = 0
  let inNetwork = 0
  let isActive = false
  let isCut = false
  /** Parcels of an earlier epoch are lost. */
  let epoch = 0
  let isClosed = false

  function windowBytes(): number {
    let window = Number.POSITIVE_INFINITY
    for (const pipe of route)
      window = Math.min(window, (pipe.bytesPerMs * (oneWayMs + QUEUE_MS)) / Math.max(1, pipe.flows))
    return Math.max(PARCEL_BYTES, window)
  }

  function setActive(active: boolean): void {
    if (active === isActive) return
    isActive = active
    for (const pipe of route) pipe.flows += active ? 1 : -1
  }

  function pump(): void {
    if (isCut || isClosed) return
    const window = windowBytes()
    while (head < waiting.length) {
      const parcel = waiting[head]!
      if (!isWanted(parcel)) {
        head++
        continue
      }
      // The last one may stand out: else a window of less than two parcels would leave the path idle.
      if (inNetwork >= window) break
      head++
      inNetwork += parcel.bytes
      onSent(parcel)
      new Transit(parcel, epoch).run()
    }
    if (head > 64 && head * 2 > waiting.length) {
      waiting = waiting.slice(head)
      head = 0
    }
    setActive(inNetwork > 0 || head < waiting.length)
  }

  class Transit implements Task {
    readonly parcel: Parcel
    readonly epoch: number
    stage = 0
    constructor(parcel: Parcel, epochOfParcel: number) {
      this.parcel = parcel
      this.epoch = epochOfParcel
    }

    run(): void {
      if (isClosed) return
      if (this.epoch !== epoch) {
        waiting.push(this.parcel)
        pump()
        return
      }
      const pipe = route[this.stage]
      if (pipe === undefined && this.stage > route.length) {
        inNetwork -= this.parcel.bytes
        onArrival(this.parcel)
        pump()
        return
      }
      this.stage++
      if (pipe === undefined) {
        queue.at(queue.nowMs() + oneWayMs, this)
        this.stage = route.length + 1
        return
      }
      const bytes = this.parcel.bytes * overhead
      const endMs = Math.max(queue.nowMs(), pipe.freeMs) + bytes / pipe.bytesPerMs
      pipe.freeMs = endMs
      pipe.bytes += bytes
      const next = route[this.stage]
      // The next pipe passes on what comes in as it comes: its last byte leaves right after the last has come.
      if (next !== undefined) queue.at(endMs - bytes / next.bytesPerMs, this)
      else {
        this.stage = route.length + 1
        queue.at(endMs + oneWayMs, this)
      }
    }
  }

  return {
    send(parcel) {
      if (isClosed) return
      waiting.push(parcel)
      setActive(true)
      pump()
    },
    cut() {
      isCut = true
      epoch++
      inNetwork = 0
      setActive(false)
    },
    mend() {
      isCut = false
      setActive(head < waiting.length)
      pump()
    },
    close() {
      isClosed = true
      waiting = []
      head = 0
      setActive(false)
    },
  }
}
