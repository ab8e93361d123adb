/**
 * `/mirrormesh/1/ask`: what one member wants to know of another now, and is too much to tell everybody: its whole status, what
 * it is fetching. Both sides. Members only; so many questions of each, and an answer is bounded.
 */
import type { Clock } from '../base/clock.ts'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { FrameStream } from './frame-stream.ts'
import type { Answerer, NetLog } from './ports.ts'
import { rateLimit } from './rate-limit.ts'
import { ANSWER, MAX_ANSWER_BYTES, QUESTION } from './wire/ask.ts'
import { encodeFrame } from './wire/frame.ts'
import { decodeRefusal, encodeRefusal, REFUSED } from './wire/join.ts'

export const ASK_PROTOCOL = '/mirrormesh/1/ask'

/** Questions of one member: this many at once, and one more each interval. */
const BURST = 20
const INTERVAL_MS = 500

/** @throws MirrorError `refused` with the peer's reason, `unreachable` */
export async function askPeer(frames: FrameStream, question: Uint8Array, peer: string): Promise<Uint8Array> {
  try {
    await frames.send(encodeFrame(QUESTION, [question]))
    for await (const { type, body } of frames.frames()) {
      await frames.closeWrite()
      if (type !== REFUSED) return body
      throw new MirrorError('refused', `the peer does not answer: ${decodeRefusal(body)}`, {
        facts: { peer },
      })
    }
    throw new MirrorError('unreachable', 'the peer ended the stream before it answered', { facts: { peer } })
  } finally {
    frames.abort(new MirrorError('aborted', 'the question is over'))
  }
}

/** The function that answers one question. It never rejects. */
export function questionServer({
  answerer,
  clock,
  log,
}: {
  /** Without one nothing is answered. */
  readonly answerer: Answerer | undefined
  readonly clock: Clock
  readonly log: NetLog
}): (frames: FrameStream, peer: string) => Promise<void> {
  const mayAsk = rateLimit(clock, BURST, INTERVAL_MS)
  return async (frames, peer) => {
    const incoming = frames.frames()
    try {
      const first = await incoming.next()
      if (first.done === true) return
      await frames.send(await answerTo(first.value.body, peer))
      await frames.closeWrite()
      // The asker closes when it has read our last word.
      await incoming.next()
    } catch (error) {
      log.debug({ peer, error: String(error) }, 'net.ask.ended')
    } finally {
      frames.abort(new MirrorError('aborted', 'the question is over'))
    }
  }

  async function answerTo(question: Uint8Array, peer: string): Promise<Uint8Array> {
    if (!mayAsk(peer)) return encodeRefusal('too many questions: ask again later')
    try {
      if (answerer === undefined) throw new MirrorError('unsupported', 'this node answers no questions')
      const answer = await answerer.answer(peer, question)
      if (answer.length <= MAX_ANSWER_BYTES) return encodeFrame(ANSWER, [answer])
      return encodeRefusal('the answer is too long')
    } catch (error) {
      log.debug({ peer, error: String(error) }, 'net.ask.unanswered')
      // What is our own trouble is not for others to read.
      const isTheirs = isMirrorError(error) && ['refused', 'not-found', 'unsupported'].includes(error.code)
      return encodeRefusal(isTheirs ? (error as MirrorError).message : 'this node cannot answer now')
    }
  }
}
