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
  for await (const piece of pieces) {
    options.signal.throwIfAborted()
    const bytes = typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length
    await options.pace?.(bytes, options.signal)
    const taken = written(response, piece, options)
    options.onSent(bytes)
    await taken
  }
}

function written(
  response: ServerResponse,
  piece: Uint8Array | string,
  { clock, stallTimeoutMs, signal }: SendOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      cancel()
      signal.removeEventListener('abort', onAbort)
      settle()
    }
    const onAbort = (): void => finish(() => reject(signal.reason))
    const cancel = clock.after(stallTimeoutMs, () =>
      finish(() => reject(new MirrorError('timed-out', `the client took nothing for ${stallTimeoutMs} ms`))),
    )
    signal.addEventListener('abort', onAbort, { once: true })
    response.write(piece, (error) =>
      finish(() => {
        if (error === null || error === undefined) resolve()
        else if (signal.aborted) reject(signal.reason)
        else reject(new MirrorError('aborted', 'the client closed the connection', { cause: error }))
      }),
    )
    if (signal.aborted) onAbort()
  })
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
