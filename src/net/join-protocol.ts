/** `/mirrormesh/1/join`: a newcomer claims an invite. The only protocol that a stranger may use. Both sides. */
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import type { FrameStream } from './frame-stream.ts'
import { MAX_JOIN_BYTES, MAX_JOIN_RECORDS } from './limits.ts'
import type { Admission, NetLog } from './ports.ts'
import { encodeFrame } from './wire/frame.ts'
import type { Claim } from './wire/join.ts'
import { decodeClaim, decodeRefusal, encodeClaim, encodeRefusal, REFUSED } from './wire/join.ts'
import { DONE, decodeRecords, RECORDS, recordsFrames } from './wire/records.ts'

export const JOIN_PROTOCOL = '/mirrormesh/1/join'

/** The records of the answer, unverified. @throws MirrorError `refused` with the peer's reason */
export async function claimInvite(frames: FrameStream, claim: Claim, peer: string): Promise<Uint8Array[]> {
  const records: Uint8Array[] = []
  let bytes = 0
  try {
    await frames.send(encodeClaim(claim))
    for await (const { type, body } of frames.frames()) {
      if (type === DONE) {
        await frames.closeWrite()
        return records
      }
      if (type === REFUSED) {
        throw new MirrorError('refused', `the invite was refused: ${decodeRefusal(body)}`, {
          facts: { peer },
          hint: 'Ask for a new invite: each can be used once, and for a short time only.',
        })
      }
      if (type === RECORDS) records.push(...decodeRecords(body))
      bytes += body.length
      if (records.length > MAX_JOIN_RECORDS || bytes > MAX_JOIN_BYTES)
        throw new MirrorError('limit', 'the answer to an invite never ends')
    }
    throw new MirrorError('unreachable', 'the peer ended the stream before its answer was complete', {
      facts: { peer },
    })
  } finally {
    frames.abort(new MirrorError('aborted', 'the claim is over'))
  }
}

/** Answers one claim. Never rejects. */
export async function serveClaim(
  {
    frames,
    admission,
    log,
  }: { readonly frames: FrameStream; readonly admission: Admission; readonly log: NetLog },
  peer: string,
  mesh: Cid,
): Promise<void> {
  const incoming = frames.frames()
  try {
    const first = await incoming.next()
    if (first.done === true) return
    const claim = decodeClaim(first.value.body)
    let records: readonly Uint8Array[]
    try {
      if (!claim.mesh.equals(mesh)) throw new MirrorError('refused', 'this node belongs to another mesh')
      records = (await admission.claim({ peer, secret: claim.secret, invite: claim.invite })).records
    } catch (error) {
      log.warn({ peer, error: String(error) }, 'net.join.refused')
      // Anything but a clear refusal is our own trouble: it is not for strangers to read.
      const reason = isMirrorError(error, 'refused') ? error.message : 'this node cannot admit anybody now'
      await frames.send(encodeRefusal(reason))
      await frames.closeWrite()
      await incoming.next()
      return
    }
    for (const frame of recordsFrames(records)) await frames.send(frame)
    await frames.send(encodeFrame(DONE, []))
    await frames.closeWrite()
    log.info({ peer, records: records.length }, 'net.join.admitted')
    await incoming.next()
  } catch (error) {
    log.debug({ peer, error: String(error) }, 'net.join.ended')
  } finally {
    frames.abort(new MirrorError('aborted', 'the claim is over'))
  }
}
