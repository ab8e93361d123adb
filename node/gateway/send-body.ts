/**
 * Writes a body no faster than the client takes it. At most one piece waits in memory beyond the socket's own buffer;
 * a client that takes nothing for `stallTimeoutMs` is cut off.
 */
import type { ServerResponse } from 'node:http'
import type { Clock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'

export interface SendOptions {
  readonly clock: Clock
  readonly stallTimeoutMs: number
  readonly signal: AbortSignal
  readonly onSent: (bytes: number) => void
  /** Resolves when so many bytes may go to this client; absent: at any time. */
  readonly pace?: ((bytes: number, signal: AbortSignal) => Promise<void>) | undefined
}

/**
 * Resolves when the last piece was taken; does not end the response. The next piece is asked for when the socket has done with
 * the one before, whose memory may be used again then.
 */
export async function sendPieces(
  response: ServerResponse,
  pieces: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array>,
  options: SendOptions,
): Promise<void> {
  const { signal, pace, onSent } = options
  using writer = createWriter(response, options)
  for await (const piece of pieces) {
    signal.throwIfAborted()
    const bytes = typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length
    await pace?.(bytes, signal)
    const taken = writer.write(piece)
    onSent(bytes)
    await taken
  }
}

interface Writer extends Disposable {
  /** Resolves when the socket has done with it. One at a time. */
  write(piece: Uint8Array | string): Promise<void>
}

/** One listener and one timer for a whole body: with a thousand clients those of each piece are much garbage. */
function createWriter(
  response: ServerResponse,
  { clock, stallTimeoutMs, signal }: Pick<SendOptions, 'clock' | 'stallTimeoutMs' | 'signal'>,
): Writer {
  let waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined
  let sinceMs = 0
  let cancelLook = clock.after(stallTimeoutMs, look)
  signal.addEventListener('abort', onAbort, { once: true })

  function fail(error: unknown): void {
    waiting?.reject(error)
    waiting = undefined
  }

  function onAbort(): void {
    fail(signal.reason)
  }

  function onWritten(error: Error | null | undefined): void {
    if (error === null || error === undefined) {
      waiting?.resolve()
      waiting = undefined
    } else if (signal.aborted) fail(signal.reason)
    else fail(new MirrorError('aborted', 'the client closed the connection', { cause: error }))
  }

  function look(): void {
    const waitedMs = waiting === undefined ? 0 : clock.monotonicMs() - sinceMs
    if (waitedMs < stallTimeoutMs) cancelLook = clock.after(stallTimeoutMs - waitedMs, look)
    else fail(new MirrorError('timed-out', `the client took nothing for ${stallTimeoutMs} ms`))
  }

  return {
    write(piece) {
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject }
        sinceMs = clock.monotonicMs()
        response.write(piece, onWritten)
        if (signal.aborted) onAbort()
      })
    },
    [Symbol.dispose]() {
      cancelLook()
      signal.removeEventListener('abort', onAbort)
    },
  }
}

/** Batches small pieces of text into writes of about 16 KiB. */
export async function* batched(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let batch = ''
  for await (const piece of pieces) {
    batch += piece
    if (batch.length >= 16_384) {
      yield batch
      batch = ''
    }
  }
  if (batch !== '') yield batch
}
