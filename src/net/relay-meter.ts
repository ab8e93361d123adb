/**
 * Counts what passes through the two streams of a relayed connection, and pauses the one that brings more than the other
 * takes: libp2p's splice of two streams queues without a bound.
 *
 * What may be held of one direction is the window that the sender was given, and RELAY_HIGH_BYTES that were read and not
 * sent on. Windows begin small and grow out of one pool for all that is relayed, which is given back when the stream ends. A
 * direction of which nothing goes out for a minute ends its connection: who does not read is gone, or wants memory.
 *
 * Messages are counted as they are handed to the one who listens: a listener of ours would be handed messages that are
 * meant for a later one.
 */
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import { keepPaused } from './keep-paused.ts'
import * as limits from './limits.ts'

export interface RelayMeters {
  /** @param onSent told of all that is sent on the stream */
  meter(stream: Stream, onSent: (bytes: number) => void): StreamMeter
  /** Held now, of all that is relayed. */
  heldBytes(): number
}

export interface StreamMeter {
  readonly stream: Pick<
    Stream,
    'pause' | 'resume' | 'abort' | 'readStatus' | 'readBufferLength' | 'writeBufferLength'
  >
  receivedBytes: number
  sentBytes: number
  isPaused: boolean
  /** Where what is received here goes. */
  other: StreamMeter | undefined
  /** While it is paused: ends the wait for the other. */
  cancelStall: (() => void) | undefined
}

/** Fields of YamuxStream that its types hide; of a stream of another kind nothing grows. */
interface Window {
  readonly recvWindow?: number
  maxStreamWindowSize?: number
}

export function createRelayMeters({ clock }: { readonly clock: Pick<Clock, 'after'> }): RelayMeters {
  const meters = new Set<StreamMeter>()
  let poolBytes = limits.RELAY_POOL_BYTES

  /** As long as it has come to its window's end, and there is something in the pool. */
  function growWindow(window: Window, grantedBytes: number): number {
    if (window.maxStreamWindowSize === undefined || (window.recvWindow ?? 0) < grantedBytes)
      return grantedBytes
    if (grantedBytes >= limits.RELAY_MAX_WINDOW_BYTES || poolBytes < grantedBytes) return grantedBytes
    poolBytes -= grantedBytes
    window.maxStreamWindowSize = 2 * grantedBytes
    return 2 * grantedBytes
  }

  function settle(meter: StreamMeter): void {
    const { stream, other } = meter
    // One that ends is told neither: it would throw, at whatever event of the other's this is.
    const isRead = stream.readStatus === 'readable' || stream.readStatus === 'paused'
    if (other === undefined || !isRead) return
    const heldBytes = unsentBytes(meter)
    if (!meter.isPaused && heldBytes > limits.RELAY_HIGH_BYTES) {
      meter.isPaused = true
      stream.pause()
      watchStall(meter, other)
    } else if (meter.isPaused && heldBytes < limits.RELAY_LOW_BYTES) {
      meter.isPaused = false
      meter.cancelStall?.()
      stream.resume()
    }
  }

  function watchStall(meter: StreamMeter, other: StreamMeter): void {
    const before = leftBytes(other)
    meter.cancelStall = clock.after(limits.WRITE_STALL_TIMEOUT_MS, () => {
      if (leftBytes(other) > before) return watchStall(meter, other)
      const error = new MirrorError('timed-out', 'what is relayed is not read at the other end')
      meter.stream.abort(error)
      other.stream.abort(error)
    })
  }

  return {
    meter(stream, onSent) {
      const meter: StreamMeter = {
        ...{ stream, receivedBytes: 0, sentBytes: 0, isPaused: false },
        ...{ other: undefined, cancelStall: undefined },
      }
      const window = stream as Window
      let grantedBytes = limits.WRITE_UNIT_BYTES
      if (window.maxStreamWindowSize !== undefined) window.maxStreamWindowSize = grantedBytes
      keepPaused(stream)
      meters.add(meter)
      const end = (): void => {
        if (!meters.delete(meter)) return
        poolBytes += grantedBytes - limits.WRITE_UNIT_BYTES
        meter.cancelStall?.()
      }
      stream.addEventListener('close', end, { once: true })
      const send = stream.send.bind(stream)
      stream.send = (data) => {
        meter.sentBytes += data.byteLength
        onSent(data.byteLength)
        const canSendMore = send(data)
        if (meter.other !== undefined) settle(meter.other)
        return canSendMore
      }
      // The one place through which a message reaches its listeners.
      const dispatch = stream.dispatchEvent.bind(stream)
      stream.dispatchEvent = (event) => {
        if (event.type === 'message') {
          meter.receivedBytes += (event as unknown as { readonly data: Uint8Array }).data.byteLength
          if (meters.has(meter)) grantedBytes = growWindow(window, grantedBytes)
          settle(meter)
        } else if (event.type === 'idle' && meter.other !== undefined) settle(meter.other)
        return dispatch(event)
      }
      return meter
    },
    heldBytes() {
      let bytes = 0
      for (const meter of meters) bytes += unsentBytes(meter) + meter.stream.readBufferLength
      return bytes
    },
  }
}

/** What one receives the other sends, from now on. */
export function spliceMeters(one: StreamMeter, other: StreamMeter): void {
  for (const meter of [one, other]) {
    meter.receivedBytes = 0
    meter.sentBytes = 0
  }
  one.other = other
  other.other = one
}

/** Read and not yet gone: in the queue between the two, or waiting for the other's window. */
function unsentBytes({ receivedBytes, other }: StreamMeter): number {
  return other === undefined ? 0 : receivedBytes - leftBytes(other)
}

function leftBytes({ sentBytes, stream }: StreamMeter): number {
  return sentBytes - stream.writeBufferLength
}
