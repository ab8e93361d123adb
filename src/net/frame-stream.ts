/**
 * A libp2p stream as frames, with back-pressure both ways.
 *
 * Reading: what arrives is queued up to READ_HIGH_BYTES, then the stream is paused, which lets the sender's window run
 * out. (Iterating a libp2p stream directly queues without a bound.) A frame that has begun must be complete in time.
 * Writing: one frame after the other, in units of 256 KiB, each waiting until the stream takes more. (A stream's own
 * `onDrain` keeps its first promise for ever, so it is not used: it stops waiting after the first time.)
 */
import type { Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import { Semaphore } from '../base/semaphore.ts'
import * as limits from './limits.ts'
import type { PeerCounter } from './traffic.ts'
import type { Frame, FrameDecoder, FrameLimits } from './wire/frame.ts'
import { createFrameDecoder } from './wire/frame.ts'

export interface FrameStream {
  /** The id that both sides agreed on. */
  readonly protocol: string
  /** Fires when the stream is over, for whatever reason. */
  readonly closed: AbortSignal
  /**
   * Frames until the other side closes its end. Iterate once; leaving early aborts the stream.
   * @throws MirrorError `unreachable` when it dies, `timed-out` when it stalls, `corrupt` | `limit` for bad frames
   */
  frames(): AsyncGenerator<Frame>
  /**
   * Resolves when the stream has taken the frame. The signal is heeded until the frame begins.
   * @throws MirrorError `unreachable`, `timed-out`
   */
  send(frame: Uint8Array, signal?: AbortSignal): Promise<void>
  /** Ends this side; the other may go on. */
  closeWrite(): Promise<void>
  /** Ends both at once. Safe to call at any time. */
  abort(error: Error): void
}

export interface FrameStreamOptions {
  /** What may arrive. */
  readonly accept: FrameLimits
  /** Without it the first frame is waited for like any other. */
  readonly firstFrameTimeoutMs?: number
  /** Between frames; asked each time that waiting for one begins. Without it there is no limit. */
  readonly idleTimeoutMs?: () => number
}

/** The longest delay that a timer of Node.js takes: 24 days. */
const NEVER_MS = 2 ** 31 - 1

export function frameStream(
  {
    stream,
    clock,
    counter,
  }: { readonly stream: Stream; readonly clock: Clock; readonly counter: PeerCounter },
  options: FrameStreamOptions,
): FrameStream {
  const closing = new AbortController()
  const writer = new Semaphore(1)
  const decoder = createFrameDecoder(options.accept)
  const queue = readQueue(stream)
  if (isOver(stream)) closing.abort(unreachable())
  stream.addEventListener('close', (event) => closing.abort(unreachable(event.error)), { once: true })

  async function* chunks(): AsyncGenerator<Uint8Array> {
    let isFirst = true
    let beganMs = clock.monotonicMs()
    for (;;) {
      const partial = decoder.partial()
      const nowMs = clock.monotonicMs()
      if (partial.expected === 0) beganMs = nowMs
      const timeoutMs =
        partial.expected > 0
          ? beganMs + limits.FRAME_TIMEOUT_MS + partial.expected / limits.FRAME_FLOOR_BYTES_PER_MS - nowMs
          : isFirst && options.firstFrameTimeoutMs !== undefined
            ? options.firstFrameTimeoutMs
            : (options.idleTimeoutMs?.() ?? NEVER_MS)
      const chunk = await queue.next(clock, timeoutMs)
      if (chunk === undefined) {
        if (partial.expected > 0) throw new MirrorError('unreachable', 'stream ended within a frame')
        return
      }
      isFirst = false
      counter.bytesReceived += chunk.length
      yield chunk
    }
  }

  async function write(frame: Uint8Array): Promise<void> {
    for (let at = 0; at < frame.length; at += limits.WRITE_UNIT_BYTES) {
      if (closing.signal.aborted) throw closing.signal.reason
      const unit = frame.subarray(at, at + limits.WRITE_UNIT_BYTES)
      try {
        stream.send(unit)
      } catch (error) {
        throw unreachable(error)
      }
      counter.bytesSent += unit.length
      const deadlineMs = clock.monotonicMs() + limits.WRITE_STALL_TIMEOUT_MS
      while (stream.writableNeedsDrain) await drain(stream, clock, deadlineMs - clock.monotonicMs())
    }
  }

  const self: FrameStream = {
    protocol: stream.protocol,
    closed: closing.signal,
    async *frames() {
      let isDone = false
      try {
        yield* pipe(chunks, (source: AsyncIterable<Uint8Array>) => decodeFrames(source, decoder))
        isDone = true
      } catch (error) {
        self.abort(error as Error)
        isDone = true
        throw error
      } finally {
        queue.stop()
        if (!isDone) self.abort(new MirrorError('aborted', 'the reader left'))
      }
    },
    async send(frame, signal) {
      const release = await writer.acquire(1, signal)
      try {
        await write(frame)
      } catch (error) {
        self.abort(error as Error)
        throw error
      } finally {
        release()
      }
    },
    async closeWrite() {
      const release = await writer.acquire()
      try {
        await stream.close({ signal: AbortSignal.timeout(limits.OPEN_STREAM_TIMEOUT_MS) })
      } catch (error) {
        self.abort(unreachable(error))
      } finally {
        release()
      }
    },
    abort(error) {
      closing.abort(error instanceof MirrorError ? error : unreachable(error))
      stream.abort(error)
    },
  }
  return self
}

async function* decodeFrames(
  source: AsyncIterable<Uint8Array>,
  decoder: FrameDecoder,
): AsyncGenerator<Frame> {
  for await (const chunk of source) yield* decoder.push(chunk)
}

interface ReadQueue {
  /** undefined at the end. */
  next(clock: Clock, timeoutMs: number): Promise<Uint8Array | undefined>
  stop(): void
}

function readQueue(stream: Stream): ReadQueue {
  const chunks: Uint8Array[] = []
  let queuedBytes = 0
  let isPaused = false
  let isEnded = false
  let failure: Error | undefined
  let wake: (() => void) | undefined

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
    for (const chunk of data instanceof Uint8Array ? [data] : data) {
      chunks.push(chunk)
      queuedBytes += chunk.length
    }
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
        let cancel: (() => void) | undefined
        await new Promise<void>((resolve) => {
          wake = resolve
          cancel = clock.after(Math.min(Math.max(0, timeoutMs), NEVER_MS), () => {
            failure ??= new MirrorError('timed-out', 'the peer sends nothing, or too slowly')
            isEnded = true
            notify()
          })
        })
        cancel?.()
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
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('end', onEnd)
      stream.removeEventListener('close', onClose)
      end()
    },
  }
}

function drain(stream: Stream, clock: Clock, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: Error): void => {
      cancel()
      stream.removeEventListener('drain', onDrain)
      stream.removeEventListener('close', onClose)
      if (error === undefined) resolve()
      else reject(error)
    }
    const onDrain = (): void => finish()
    const onClose = ({ error }: { readonly error?: Error | undefined }): void => finish(unreachable(error))
    const cancel = clock.after(Math.max(0, timeoutMs), () => {
      finish(new MirrorError('timed-out', 'the peer does not take what it asked for'))
    })
    stream.addEventListener('drain', onDrain)
    stream.addEventListener('close', onClose)
    if (isOver(stream)) finish(unreachable())
  })
}

function isOver(stream: Stream): boolean {
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

function unreachable(cause?: unknown): MirrorError {
  if (cause instanceof MirrorError) return cause
  return new MirrorError('unreachable', 'the stream to the peer ended', { cause })
}
