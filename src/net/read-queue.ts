/**
 * What has arrived on a libp2p stream and is not read yet, up to READ_HIGH_BYTES: then the stream is paused, which lets the
 * sender's window run out. (Iterating a libp2p stream directly queues without a bound.)
 */
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import * as limits from './limits.ts'
import type { StreamCounter } from './traffic.ts'

/** The longest delay that a timer of Node.js takes: 24 days. */
export const NEVER_MS = 2 ** 31 - 1

export interface ReadQueue {
  /** undefined at the end. @throws MirrorError `unreachable` | `timed-out` */
  next(clock: Clock, timeoutMs: number): Promise<Uint8Array | undefined>
  stop(): void
}

export function readQueue(stream: Stream, counter: StreamCounter): ReadQueue {
  const chunks: Uint8Array[] = []
  let queuedBytes = 0
  let isPaused = false
  let isEnded = false
  let failure: Error | undefined
  let wake: (() => void) | undefined
  let deadlineMs = Number.POSITIVE_INFINITY
  /** One for all waits: a new one for each would cost more than the wait. It looks again when the deadline has moved. */
  let timer: { readonly atMs: number; readonly cancel: () => void } | undefined

  const look = (clock: Clock): void => {
    timer = undefined
    if (wake === undefined) return
    if (clock.monotonicMs() < deadlineMs) watch(clock)
    else end(new MirrorError('timed-out', 'the peer sends nothing, or too slowly'))
  }
  const watch = (clock: Clock): void => {
    if (timer !== undefined && timer.atMs <= deadlineMs) return
    timer?.cancel()
    const cancel = clock.after(deadlineMs - clock.monotonicMs(), () => look(clock))
    timer = { atMs: deadlineMs, cancel }
  }
  const notify = (): void => {
    wake?.()
    wake = undefined
  }
  const end = (error?: Error): void => {
    if (error !== undefined) failure ??= error
    isEnded = true
    notify()
  }
  const onMessage = ({ data }: { readonly data: Uint8Array | Iterable<Uint8Array> }): void => {
    let bytes = 0
    for (const chunk of data instanceof Uint8Array ? [data] : data) {
      chunks.push(chunk)
      bytes += chunk.length
    }
    queuedBytes += bytes
    counter.received(bytes)
    if (!isPaused && queuedBytes > limits.READ_HIGH_BYTES) {
      isPaused = true
      attempt(() => stream.pause())
    }
    notify()
  }
  const onClose = ({ error }: { readonly error?: Error | undefined }): void => {
    if (error !== undefined) end(unreachable(error))
    else if (stream.readBufferLength === 0) end()
    else {
      // Closed while paused: what was received before is still to be read.
      isPaused = false
      attempt(() => stream.resume())
      end()
    }
  }
  const onEnd = (): void => end()
  stream.addEventListener('message', onMessage)
  stream.addEventListener('end', onEnd)
  stream.addEventListener('close', onClose)
  if (stream.readableEnded || (isOver(stream) && stream.readBufferLength === 0)) end()

  return {
    async next(clock, timeoutMs) {
      if (chunks.length === 0 && !isEnded) {
        deadlineMs = clock.monotonicMs() + Math.min(Math.max(0, timeoutMs), NEVER_MS)
        watch(clock)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      const chunk = failure === undefined ? chunks.shift() : undefined
      if (chunk === undefined) {
        if (failure !== undefined) throw failure
        return undefined
      }
      queuedBytes -= chunk.length
      if (isPaused && queuedBytes < limits.READ_LOW_BYTES) {
        isPaused = false
        attempt(() => stream.resume())
      }
      return chunk
    },
    stop() {
      timer?.cancel()
      timer = undefined
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('end', onEnd)
      stream.removeEventListener('close', onClose)
      end()
    },
  }
}

export function isOver(stream: Stream): boolean {
  return stream.status === 'closed' || stream.status === 'aborted' || stream.status === 'reset'
}

/** The stream may have ended between the look and the call. */
function attempt(change: () => void): void {
  try {
    change()
  } catch (error) {
    if ((error as Error).name !== 'StreamStateError') throw error
  }
}

export function unreachable(cause?: unknown): MirrorError {
  if (cause instanceof MirrorError) return cause
  return new MirrorError('unreachable', 'the stream to the peer ended', { cause })
}
