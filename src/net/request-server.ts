/**
 * The answering side of a long-lived stream of requests (wire/request.ts).
 *
 * Up to MAX_ACTIVE_PER_STREAM requests are answered at one time, so that one slow read does not hold up the rest; each
 * holds one answer at most and produces the next when the stream has taken the last. What is over the peer's budget is
 * answered `busy` at once.
 */
import { MirrorError } from '../base/errors.ts'
import { Semaphore } from '../base/semaphore.ts'
import type { FrameStream } from './frame-stream.ts'
import { MAX_ACTIVE_PER_STREAM } from './limits.ts'
import type { NetLog } from './ports.ts'
import type { RequestBudget } from './request-budget.ts'
import { BUSY, CANCEL, decodeRequestBody, END, encodeRequestFrame } from './wire/request.ts'

/** Sends one answer of a request, and waits until the stream has taken it. */
export type SendAnswer = (type: number, fields?: readonly Uint8Array[]) => Promise<void>

export interface RequestServer<T> {
  /** @throws MirrorError for malformed fields: the stream is reset */
  decode(fields: Uint8Array): T
  /** Sends all answers; the END follows by itself. */
  answer(request: T, send: SendAnswer, signal: AbortSignal): Promise<void>
}

/** Serves until the stream ends. Never rejects. */
export async function serveRequests<T>(
  {
    frames,
    budget,
    log,
  }: { readonly frames: FrameStream; readonly budget: RequestBudget; readonly log: NetLog },
  peer: string,
  server: RequestServer<T>,
): Promise<void> {
  const places = new Semaphore(MAX_ACTIVE_PER_STREAM)
  const open = new Map<number, AbortController>()

  const run = async (id: number, request: T, signal: AbortSignal): Promise<void> => {
    const send: SendAnswer = (type, fields) => frames.send(encodeRequestFrame(type, id, fields), signal)
    const place = await places.acquire(1, signal).catch(() => undefined)
    const active = place === undefined ? undefined : budget.activate(peer)
    try {
      if (signal.aborted) return
      if (active === undefined) await send(BUSY)
      else await server.answer(request, send, signal)
    } catch (error) {
      if (signal.aborted) return
      log.warn({ peer, error: String(error) }, 'net.request.failed')
      await send(BUSY)
    } finally {
      active?.()
      place?.()
    }
  }

  const accept = async (id: number, fields: Uint8Array): Promise<void> => {
    if (open.has(id)) throw new MirrorError('corrupt', 'a request took an id that is in use')
    const request = server.decode(fields)
    const leave = budget.admit(peer)
    if (leave === undefined) {
      await frames.send(encodeRequestFrame(BUSY, id))
      await frames.send(encodeRequestFrame(END, id))
      return
    }
    const cancel = new AbortController()
    open.set(id, cancel)
    run(id, request, AbortSignal.any([cancel.signal, frames.closed]))
      .then(() => {
        open.delete(id)
        return frames.closed.aborted ? undefined : frames.send(encodeRequestFrame(END, id))
      })
      .catch((error: unknown) => frames.abort(error as Error))
      .finally(leave)
  }

  try {
    for await (const { type, body } of frames.frames()) {
      const { id, fields } = decodeRequestBody(body)
      if (type === CANCEL) open.get(id)?.abort(new MirrorError('aborted', 'cancelled by the peer'))
      else await accept(id, fields)
    }
  } catch (error) {
    log.debug({ peer, error: String(error) }, 'net.stream.ended')
  } finally {
    frames.abort(new MirrorError('aborted', 'the stream is over'))
  }
}
