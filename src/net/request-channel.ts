/**
 * The asking side of a long-lived stream of requests (wire/request.ts): many in flight, each told its own answers.
 *
 * The stream opens with the first request and again after it died; requests in flight die with it. A cancelled request
 * keeps its place until the peer has said END, so that a peer can never be made to hold more than MAX_REQUESTS_IN_FLIGHT
 * of ours. An answer that nobody asked for ends the stream as corrupt.
 */
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import { Semaphore } from '../base/semaphore.ts'
import type { FrameStream } from './frame-stream.ts'
import { ANSWER_STALL_TIMEOUT_MS, IDLE_CHANNEL_TIMEOUT_MS, MAX_REQUESTS_IN_FLIGHT } from './limits.ts'
import { CANCEL, decodeRequestBody, END, encodeRequestFrame, REQUEST } from './wire/request.ts'

export interface RequestChannel {
  /**
   * Resolves at the END of the request. `fields` may follow from the protocol that the peer speaks. `onAnswer` gets every other answer, its type and fields, and the protocol of the
   * stream; what it throws breaks the stream.
   * @throws the signal's reason; MirrorError `unreachable` | `corrupt` | `timed-out`
   */
  request(
    fields: readonly Uint8Array[] | ((protocol: string) => readonly Uint8Array[]),
    onAnswer: OnAnswer,
    signal?: AbortSignal,
  ): Promise<void>
  close(): void
}

type OnAnswer = (type: number, fields: Uint8Array, protocol: string) => void

interface Pending {
  readonly onAnswer: OnAnswer
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  isCancelled: boolean
}

interface Session {
  readonly frames: FrameStream
  readonly pending: Map<number, Pending>
  heardMs: number
  stopTimer: (() => void) | undefined
}

export function createRequestChannel(
  { open, clock }: { readonly open: (signal: AbortSignal) => Promise<FrameStream>; readonly clock: Clock },
  { stallTimeoutMs = ANSWER_STALL_TIMEOUT_MS, idleTimeoutMs = IDLE_CHANNEL_TIMEOUT_MS } = {},
): RequestChannel {
  const slots = new Semaphore(MAX_REQUESTS_IN_FLIGHT)
  const closing = new AbortController()
  let session: Promise<Session> | undefined
  let nextId = 1

  const connect = async (): Promise<Session> => {
    const frames = await open(closing.signal)
    const live: Session = { frames, pending: new Map(), heardMs: clock.monotonicMs(), stopTimer: undefined }
    supervise(live)
    read(live).then(
      () => fail(live, new MirrorError('unreachable', 'the peer closed the stream')),
      (error: unknown) => fail(live, error),
    )
    return live
  }

  const read = async (live: Session): Promise<void> => {
    for await (const { type, body } of live.frames.frames()) {
      live.heardMs = clock.monotonicMs()
      const { id, fields } = decodeRequestBody(body)
      const pending = live.pending.get(id)
      if (pending === undefined) throw new MirrorError('corrupt', 'the peer answered what was not asked')
      if (type === END) {
        live.pending.delete(id)
        pending.resolve()
      } else if (!pending.isCancelled) {
        pending.onAnswer(type, fields, live.frames.protocol)
      }
    }
  }

  /** Ends a session and all that is in flight on it. */
  const fail = (live: Session, error: unknown): void => {
    live.stopTimer?.()
    session = undefined
    live.frames.abort(error as Error)
    for (const pending of live.pending.values()) pending.reject(error)
    live.pending.clear()
  }

  /** One timer a session: it ends a session that does not answer, and one that nobody uses. */
  const supervise = (live: Session): void => {
    const isIdle = live.pending.size === 0
    const limitMs = isIdle ? idleTimeoutMs : stallTimeoutMs
    const quietMs = clock.monotonicMs() - live.heardMs
    if (quietMs < limitMs) {
      live.stopTimer = clock.after(limitMs - quietMs, () => supervise(live))
    } else {
      fail(live, new MirrorError('timed-out', isIdle ? 'nothing to ask' : 'the peer does not answer'))
    }
  }

  const current = (): Promise<Session> => {
    if (session === undefined) {
      const opening = connect()
      session = opening
      opening.catch(() => {
        if (session === opening) session = undefined
      })
    }
    return session
  }

  return {
    async request(fields, onAnswer, signal) {
      const release = await slots.acquire(1, signal)
      let settled: Promise<void> | undefined
      try {
        if (closing.signal.aborted) throw closing.signal.reason
        const live = await orAbort(current(), signal)
        if (live.frames.closed.aborted) throw live.frames.closed.reason
        const id = nextId
        nextId = nextId === 0xffffffff ? 1 : nextId + 1
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        const pending: Pending = { onAnswer, resolve, reject, isCancelled: false }
        settled = promise
        live.pending.set(id, pending)
        if (live.pending.size === 1) {
          live.heardMs = clock.monotonicMs()
          live.stopTimer?.()
          supervise(live)
        }
        const cancel = (): void => {
          pending.isCancelled = true
          if (live.pending.has(id)) live.frames.send(encodeRequestFrame(CANCEL, id)).catch(() => undefined)
        }
        // A failed send ends the stream, and with it `promise`.
        const body = typeof fields === 'function' ? fields(live.frames.protocol) : fields
        live.frames.send(encodeRequestFrame(REQUEST, id, body)).catch((error: unknown) => fail(live, error))
        await orAbort(promise, signal, cancel)
      } finally {
        if (settled === undefined) release()
        else settled.then(release, release)
      }
    },
    close() {
      const reason = new MirrorError('aborted', 'the channel was closed')
      closing.abort(reason)
      session?.then(
        (live) => fail(live, reason),
        () => undefined,
      )
    },
  }
}

/** `promise`, or the signal's reason if that comes first; then `onAbort` has been called. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined, onAbort?: () => void): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      onAbort?.()
      reject(signal.reason)
    }
    if (signal.aborted) {
      promise.catch(() => undefined)
      abort()
      return
    }
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
