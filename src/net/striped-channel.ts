/**
 * A block channel over several connections to one peer. A request is cut into parts, each of which goes to the lane with the
 * least to do. Lane 0 is the peer's ordinary connection; when another dies, what it still owed is asked of lane 0.
 */
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { BlockAnswer, BlockChannel, BlockRequest } from './ports.ts'

/** Shorter parts cost more than they gain. */
const MIN_PART_OFFSETS = 8

interface Lane {
  readonly channel: BlockChannel
  due: number
  /** Requests that have not ended: the last block of one may be here before its end is. */
  requests: number
}

export interface StripedChannelOptions {
  /** A channel over the peer's connection of this number. */
  readonly openLane: (number: number) => BlockChannel
  /** How many lanes there are now; told of what arrives, and of an end of all requests. */
  readonly lanes: () => number
  readonly onReceived: (bytes: number) => void
  readonly onIdle: () => void
  readonly onClose: () => void
}

export function createStripedChannel(
  peer: string,
  { openLane, lanes: laneCount, onReceived, onIdle, onClose }: StripedChannelOptions,
): BlockChannel {
  const lanes: Lane[] = []
  let requests = 0
  let isClosed = false

  const leastBusy = (): Lane => {
    const count = laneCount()
    while (lanes.length < count) lanes.push({ channel: openLane(lanes.length), due: 0, requests: 0 })
    // What a lane that is no longer wanted has in flight still comes over it.
    for (const { channel } of lanes.filter((lane, i) => i >= count && lane.requests === 0)) {
      channel.close()
      lanes.splice(
        lanes.findIndex((lane) => lane.channel === channel),
        1,
      )
    }
    return lanes.slice(0, count).reduce((best, lane) => (lane.due < best.due ? lane : best))
  }

  async function ask(
    lane: Lane,
    request: BlockRequest,
    onAnswers: (answers: readonly BlockAnswer[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const due = new Set(request.offsets)
    lane.due += due.size
    lane.requests++
    try {
      await lane.channel.request(
        request,
        (answers) => {
          let bytes = 0
          for (const answer of answers) {
            if (due.delete(answer.offset)) lane.due--
            bytes += answer.bytes?.length ?? 0
          }
          onReceived(bytes)
          onAnswers(answers)
        },
        signal,
      )
    } catch (error) {
      const isOnlyTheLane = isMirrorError(error, 'unreachable') || isMirrorError(error, 'timed-out')
      if (lane === lanes[0] || signal.aborted || !isOnlyTheLane) throw error
      lane.due -= due.size
      const offsets = [...due]
      due.clear()
      if (offsets.length > 0) await ask(lanes[0]!, { ...request, offsets }, onAnswers, signal)
    } finally {
      lane.due -= due.size
      lane.requests--
    }
  }

  return {
    peer,
    async request(request, onAnswers, signal) {
      if (isClosed) throw new MirrorError('aborted', 'the channel was closed')
      const parts = partsOf(request.offsets, laneCount())
      const failed = new AbortController()
      const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal])
      requests++
      try {
        await Promise.all(
          parts.map((offsets) =>
            ask(leastBusy(), { ...request, offsets }, onAnswers, either).catch((error: unknown) => {
              // One request, one fate: the rest of it is asked for elsewhere.
              failed.abort(error)
              throw error
            }),
          ),
        )
      } finally {
        if (--requests === 0) onIdle()
      }
    },
    close() {
      isClosed = true
      for (const { channel } of lanes.splice(0)) channel.close()
      onClose()
    },
  }
}

function partsOf(offsets: readonly number[], lanes: number): number[][] {
  if (offsets.length === 0) throw new MirrorError('invalid', 'a request without offsets')
  const count = Math.max(1, Math.min(lanes, Math.floor(offsets.length / MIN_PART_OFFSETS)))
  const size = Math.ceil(offsets.length / count)
  return Array.from({ length: Math.ceil(offsets.length / size) }, (_, i) =>
    offsets.slice(i * size, (i + 1) * size),
  )
}
