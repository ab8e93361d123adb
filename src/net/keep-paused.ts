/**
 * A stream that goes on first hands over what came while it was paused. Whoever listens may pause it again within that;
 * yamux then goes on all the same, and lets the other end send without a bound, until libp2p resets the stream for what it
 * holds.
 */
import { YamuxStream } from '@chainsafe/libp2p-yamux/stream'
import type { Stream } from '@libp2p/interface'

/** A stream that is paused while it goes on stays paused. Of a stream of another kind nothing changes. */
export function keepPaused(stream: Stream): void {
  if (!(stream instanceof YamuxStream)) return
  stream.sendResume = () => {
    if (stream.readStatus !== 'paused') YamuxStream.prototype.sendResume.call(stream)
  }
}
