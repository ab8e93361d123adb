/**
 * yamux answers each message at once with how much more may be sent: a frame, a record and a system call at both ends, for
 * a message that is often no larger than a few small blocks. Here it says so once a quarter of the smallest window has come.
 * Less than that is never what a sender waits for: three quarters of its window are open.
 *
 * How windows grow is left as it is: by the time between two messages, and not between two answers.
 */
import { StreamState, YamuxStream } from '@chainsafe/libp2p-yamux/stream'
import type { Stream } from '@libp2p/interface'
import { WRITE_UNIT_BYTES } from './limits.ts'

/** yamux's windows begin with 256 KiB, and never shrink. */
export const HELD_BYTES = WRITE_UNIT_BYTES / 4

/** Fields of YamuxStream that its types hide. Without them every comparison fails, and nothing is held back. */
interface ReceiveWindow {
  readonly recvWindow: number
  readonly recvWindowCapacity: number
  epochStart: number
}

/** Of a stream of another kind nothing changes. */
export function gatherWindowUpdates(stream: Stream): void {
  if (!(stream instanceof YamuxStream)) return
  const window = stream as unknown as ReceiveWindow
  stream.sendWindowUpdate = () => {
    const owedBytes = window.recvWindow - window.recvWindowCapacity
    // In any other state it has something else to say, too.
    if (stream.state === StreamState.Established && owedBytes < HELD_BYTES) window.epochStart = Date.now()
    else YamuxStream.prototype.sendWindowUpdate.call(stream)
  }
}
