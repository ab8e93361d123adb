/**
 * Counts what passes through the two streams of a relayed connection, and pauses the one that brings more than the other
 * takes: libp2p's splice of two streams queues without a bound.
 *
 * Messages are counted as they are handed to the one who listens: a listener of ours would be handed messages that are
 * meant for a later one.
 */
import type { Stream } from '@libp2p/interface'
import { RELAY_HIGH_BYTES, RELAY_LOW_BYTES } from './limits.ts'

export interface StreamMeter {
  readonly stream: Pick<Stream, 'pause' | 'resume'>
  receivedBytes: number
  sentBytes: number
  isPaused: boolean
  /** Where what is received here goes. */
  other: StreamMeter | undefined
}

/** @param onSent told of all that is sent on the stream */
export function meterStream(stream: Stream, onSent: (bytes: number) => void): StreamMeter {
  const meter: StreamMeter = { stream, receivedBytes: 0, sentBytes: 0, isPaused: false, other: undefined }
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
      settle(meter)
    }
    return dispatch(event)
  }
  return meter
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

function settle(meter: StreamMeter): void {
  if (meter.other === undefined) return
  const heldBytes = meter.receivedBytes - meter.other.sentBytes
  if (!meter.isPaused && heldBytes > RELAY_HIGH_BYTES) {
    meter.isPaused = true
    meter.stream.pause()
  } else if (meter.isPaused && heldBytes < RELAY_LOW_BYTES) {
    meter.isPaused = false
    meter.stream.resume()
  }
}
