/** `/mirrormesh/1/watch`: what a peer holds of a snapshot, first all, then what changes. Both sides. */
import { MirrorError } from '../base/errors.ts'
import type { FrameStream } from './frame-stream.ts'
import type { BlockServer, HoldingUpdate, NetLog } from './ports.ts'
import type { WatchRequest } from './wire/watch.ts'
import { decodeUpdate, decodeWatch, encodeUpdate, encodeWatch } from './wire/watch.ts'

export const WATCH_PROTOCOL = '/mirrormesh/1/watch'

/** A slow reader slows the peer down: nothing is queued beyond the stream's bound. */
export async function* watchPeer(
  open: () => Promise<FrameStream>,
  request: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<HoldingUpdate> {
  signal.throwIfAborted()
  const frames = await open()
  const stop = (): void => frames.abort(new MirrorError('aborted', 'the watch is over'))
  signal.addEventListener('abort', stop, { once: true })
  try {
    await frames.send(encodeWatch(request))
    for await (const frame of frames.frames()) yield decodeUpdate(frame)
    throw new MirrorError('unreachable', 'the peer ended the watch')
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
}

/** Serves one watch until either side ends it. Never rejects. */
export async function serveWatch(
  {
    frames,
    blockServer,
    log,
  }: { readonly frames: FrameStream; readonly blockServer: BlockServer; readonly log: NetLog },
  peer: string,
): Promise<void> {
  const incoming = frames.frames()
  try {
    const first = await incoming.next()
    if (first.done === true) return
    const request = decodeWatch(first.value.body)
    // The client says nothing more: the next thing to come is the end of the stream.
    const isOver = new AbortController()
    const ended = incoming.next().then(
      () => isOver.abort(new MirrorError('aborted', 'the watch is over')),
      (error: unknown) => isOver.abort(error),
    )
    for await (const update of blockServer.watch(peer, request, isOver.signal)) {
      if (isOver.signal.aborted) break
      for (const frame of encodeUpdate(update)) await frames.send(frame, isOver.signal)
    }
    await frames.closeWrite()
    await ended
  } catch (error) {
    log.debug({ peer, error: String(error) }, 'net.watch.ended')
  } finally {
    frames.abort(new MirrorError('aborted', 'the watch is over'))
  }
}
