import { MirrorError } from '../base/errors.ts'
import type { FrameStream } from './frame-stream.ts'

/** Runs `task` on a stream that the signal aborts; then the signal's reason is thrown at once. */
export async function abortable<T>(
  frames: FrameStream,
  signal: AbortSignal | undefined,
  task: () => Promise<T>,
): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => undefined)
  const abort = (): void => {
    frames.abort(new MirrorError('aborted', 'no longer wanted'))
    aborted.reject(signal?.reason)
  }
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted === true) abort()
  try {
    return await Promise.race([task(), aborted.promise])
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
