/**
 * A libp2p stream as frames, with back-pressure both ways.
 *
 * Reading: what arrives waits in a bounded queue (read-queue.ts). A frame that has begun must be complete in time.
 * Writing: what is sent in one turn of the loop leaves together, in units of 256 KiB, each waiting until the stream takes
 * more: every unit is a message of yamux, which the other side answers with one of its own. (A stream's own `onDrain` keeps its
 * first promise for ever, so it is not used: it stops waiting after the first time.)
 */
import type { Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { concatBytes } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import { keepPaused } from './keep-paused.ts'
import * as limits from './limits.ts'
import { isOver, NEVER_MS, readQueue, unreachable } from './read-queue.ts'
import type { StreamCounter } from './traffic.ts'
import { gatherWindowUpdates } from './window-updates.ts'
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
   * Resolves when there is room for the next one: less than 256 KiB wait to be taken. The signal is heeded until there is
   * room for this one.
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

export function frameStream(
  {
    stream,
    clock,
    counter,
  }: { readonly stream: Stream; readonly clock: Clock; readonly counter: StreamCounter },
  options: FrameStreamOptions,
): FrameStream {
  const closing = new AbortController()
  const decoder = createFrameDecoder(options.accept)
  gatherWindowUpdates(stream)
  keepPaused(stream)
  const queue = readQueue(stream, counter)
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
      yield chunk
    }
  }

  /** Frames that wait to be written, in order, and the writing of them while it goes on. */
  let waiting: Uint8Array[] = []
  let waitingBytes = 0
  let isWriting = false
  /** Who waits for room. */
  const blocked: (() => void)[] = []
  const wakeBlocked = (): void => {
    for (const wake of blocked.splice(0)) wake()
  }
  closing.signal.addEventListener('abort', wakeBlocked, { once: true })

  async function writeAll(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    while (waiting.length > 0) {
      const unit = takeUnit()
      if (closing.signal.aborted) throw closing.signal.reason
      try {
        stream.send(unit)
      } catch (error) {
        throw unreachable(error)
      }
      counter.sent(unit.length)
      const deadlineMs = clock.monotonicMs() + limits.WRITE_STALL_TIMEOUT_MS
      while (stream.writableNeedsDrain) await drain(stream, clock, deadlineMs - clock.monotonicMs())
      if (hasRoom()) wakeBlocked()
    }
  }

  function hasRoom(): boolean {
    return waitingBytes < limits.WRITE_UNIT_BYTES
  }

  /** @throws the signal's reason, or why the stream is over */
  async function room(signal?: AbortSignal): Promise<void> {
    while (!hasRoom() && !closing.signal.aborted) {
      signal?.throwIfAborted()
      await new Promise<void>((resolve) => {
        signal?.addEventListener('abort', wakeBlocked, { once: true })
        blocked.push(() => {
          signal?.removeEventListener('abort', wakeBlocked)
          resolve()
        })
      })
    }
    signal?.throwIfAborted()
    closing.signal.throwIfAborted()
  }

  /** As many whole frames as fit, or a part of a larger one. */
  function takeUnit(): Uint8Array {
    const [first] = waiting
    let count = 0
    let unitBytes = 0
    while (count < waiting.length && unitBytes + waiting[count]!.length <= limits.WRITE_UNIT_BYTES)
      unitBytes += waiting[count++]!.length
    if (count > 0) {
      waitingBytes -= unitBytes
      return count === 1 ? waiting.shift()! : concatBytes(waiting.splice(0, count))
    }
    waiting[0] = first!.subarray(limits.WRITE_UNIT_BYTES)
    waitingBytes -= limits.WRITE_UNIT_BYTES
    return first!.subarray(0, limits.WRITE_UNIT_BYTES)
  }

  /** A failure ends the stream. */
  function write(): void {
    if (isWriting) return
    isWriting = true
    writeAll()
      .catch((error: Error) => {
        waiting = []
        waitingBytes = 0
        self.abort(error)
      })
      .finally(() => {
        isWriting = false
        // Whoever got room by the last unit may have pushed between the end of the loop and here.
        if (waiting.length > 0) write()
        wakeBlocked()
      })
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
      await room(signal)
      waiting.push(frame)
      waitingBytes += frame.length
      write()
      if (!hasRoom()) await room()
    },
    async closeWrite() {
      while (isWriting) await new Promise<void>((resolve) => blocked.push(resolve))
      if (closing.signal.aborted) return
      try {
        await stream.close({ signal: AbortSignal.timeout(limits.OPEN_STREAM_TIMEOUT_MS) })
      } catch (error) {
        self.abort(unreachable(error))
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
