/**
 * `/mirrormesh/1/join-request`: a newcomer without an invite asks a member to be let in. Both sides.
 *
 * One stream is one question: COMMIT, NONCE, REVEAL, PENDING; or POLL and its answer. The member's nonce exists on
 * the stream only, so what was committed to on one connection is revealed on the same one or not at all, and the key of
 * the newcomer is the key of that connection.
 */
import { randomBytes } from 'node:crypto'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { publicKeyOf } from '../record/key.ts'
import { joinCommitment, NONCE_BYTES } from '../record/request-code.ts'
import type { FrameStream } from './frame-stream.ts'
import { MAX_JOIN_BYTES, MAX_JOIN_RECORDS } from './limits.ts'
import type { JoinAnswer, JoinQuestion, JoinRequests, NetLog } from './ports.ts'
import type { Frame } from './wire/frame.ts'
import { encodeFrame } from './wire/frame.ts'
import { decodeRefusal, encodeRefusal, REFUSED } from './wire/join.ts'
import {
  COMMIT,
  type Commit,
  decodeCommit,
  decodeNonce,
  decodePoll,
  encodeCommit,
  encodeNonce,
  encodePoll,
  NONCE,
  PENDING,
  POLL,
  REVEAL,
  UNKNOWN,
} from './wire/join-request.ts'
import { DONE, decodeRecords, RECORDS, recordsFrames } from './wire/records.ts'

export const JOIN_REQUEST_PROTOCOL = '/mirrormesh/1/join-request'

/** @throws MirrorError `refused` with the peer's reason */
export async function askToJoin(
  frames: FrameStream,
  question: JoinQuestion,
  { self, peer }: { readonly self: string; readonly peer: string },
): Promise<JoinAnswer> {
  const records: Uint8Array[] = []
  let bytes = 0
  let nonce: Uint8Array | undefined
  try {
    await frames.send(
      question.kind === 'poll'
        ? encodePoll(question.mesh)
        : encodeCommit({ ...question, commitment: commitmentOf(question, self) }),
    )
    for await (const { type, body } of frames.frames()) {
      bytes += body.length
      if (type === REFUSED) throw refusal(body, peer)
      if (type === RECORDS) records.push(...decodeRecords(body))
      if (records.length > MAX_JOIN_RECORDS || bytes > MAX_JOIN_BYTES)
        throw new MirrorError('limit', 'the answer to a request to join never ends')
      if (type === NONCE && nonce === undefined && question.kind === 'ask') {
        nonce = decodeNonce(body)
        await frames.send(encodeNonce(REVEAL, question.nonce))
      } else if (type === DONE) return await over({ kind: 'admitted', records })
      else if (type === UNKNOWN) return await over({ kind: 'unknown' })
      else if (type === PENDING) {
        const memberNonce = decodeNonce(body)
        if (question.kind === 'ask' && nonce?.every((byte, i) => byte === memberNonce[i]) !== true)
          throw new MirrorError('corrupt', 'the peer answered with another nonce', { facts: { peer } })
        return await over({ kind: 'pending', memberNonce })
      }
    }
    throw new MirrorError('unreachable', 'the peer ended the stream before its answer was complete', {
      facts: { peer },
    })
  } finally {
    frames.abort(new MirrorError('aborted', 'the question is over'))
  }

  async function over(answer: JoinAnswer): Promise<JoinAnswer> {
    await frames.closeWrite()
    return answer
  }
}

function commitmentOf({ mesh, nonce, wish }: JoinQuestion & { kind: 'ask' }, self: string): Uint8Array {
  return joinCommitment({ mesh, newcomer: publicKeyOf(self), newcomerNonce: nonce, ...wish })
}

function refusal(body: Uint8Array, peer: string): MirrorError {
  return new MirrorError('refused', `the request was refused: ${decodeRefusal(body)}`, { facts: { peer } })
}

/** Answers one question. Never rejects. */
export async function serveJoinRequest(
  {
    frames,
    requests,
    log,
  }: { readonly frames: FrameStream; readonly requests: JoinRequests; readonly log: NetLog },
  newcomer: { readonly peer: string; readonly address: string },
  mesh: Cid,
): Promise<void> {
  const incoming = frames.frames()
  const { peer } = newcomer
  try {
    const first = await incoming.next()
    if (first.done === true) return
    try {
      await answer(first.value)
    } catch (error) {
      log.warn({ ...newcomer, error: String(error) }, 'net.join-request.refused')
      // Anything but a clear refusal is our own trouble: it is not for strangers to read.
      const reason = isMirrorError(error, 'refused') ? error.message : 'this node cannot take requests now'
      await frames.send(encodeRefusal(reason))
    }
    await frames.closeWrite()
    await incoming.next()
  } catch (error) {
    log.debug({ peer, error: String(error) }, 'net.join-request.ended')
  } finally {
    frames.abort(new MirrorError('aborted', 'the question is over'))
  }

  async function answer({ type, body }: Frame): Promise<void> {
    if (type !== POLL && type !== COMMIT)
      throw new MirrorError('refused', 'a request to join begins with a commitment')
    const commit = type === COMMIT ? decodeCommit(body) : undefined
    const claimed = commit?.mesh ?? decodePoll(body)
    if (!claimed.equals(mesh)) throw new MirrorError('refused', 'this node belongs to another mesh')
    const records = requests.admitted(peer)
    if (records !== undefined) {
      for (const frame of recordsFrames(records)) await frames.send(frame)
      await frames.send(encodeFrame(DONE, []))
      log.info({ peer, records: records.length }, 'net.join-request.admitted')
    } else if (commit !== undefined) await exchange(commit)
    else {
      const nonce = requests.pending(peer)
      await frames.send(nonce === undefined ? encodeFrame(UNKNOWN, []) : encodeNonce(PENDING, nonce))
    }
  }

  async function exchange({ commitment, wish }: Commit): Promise<void> {
    requests.begin(newcomer)
    const memberNonce = new Uint8Array(randomBytes(NONCE_BYTES))
    await frames.send(encodeNonce(NONCE, memberNonce))
    const next = await incoming.next()
    if (next.done === true) throw new MirrorError('unreachable', 'the newcomer left')
    if (next.value.type !== REVEAL) throw new MirrorError('refused', 'what was committed to is revealed next')
    const newcomerNonce = decodeNonce(next.value.body)
    requests.complete(newcomer, { commitment, wish, newcomerNonce, memberNonce })
    await frames.send(encodeNonce(PENDING, memberNonce))
  }
}
