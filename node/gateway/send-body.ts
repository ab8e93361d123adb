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

/** Resolves when the last piece was handed to the socket; does not end the response. */
export async function sendPieces(
  response: ServerResponse,
  pieces: AsyncIterable<Uint8Array | string>,
  options: SendOptions,
): Promise<void> {
  for await (const piece of pieces) {
    options.signal.throwIfAborted()
    const bytes = typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length
    await options.pace?.(bytes, options.signal)
    const isRoomLeft = response.write(piece)
    options.onSent(bytes)
    if (!isRoomLeft) await drained(response, options)
  }
}

function drained(response: ServerResponse, { clock, stallTimeoutMs, signal }: SendOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      cancel()
      response.off('drain', onDrain)
      signal.removeEventListener('abort', onAbort)
      settle()
    }
    const onDrain = (): void => finish(resolve)
    const onAbort = (): void => finish(() => reject(signal.reason))
    const cancel = clock.after(stallTimeoutMs, () =>
      finish(() => reject(new MirrorError('timed-out', `the client took nothing for ${stallTimeoutMs} ms`))),
    )
    response.once('drain', onDrain)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
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
