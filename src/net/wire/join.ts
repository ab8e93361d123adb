/**
 * Messages of `/mirrormesh/1/join`: one question, one answer, and the stream is over.
 *
 *   type  from    body
 *   0x01  client  CLAIM: 33 bytes mesh (CID of the genesis record), 33 bytes invite CID, 32 bytes secret
 *   0x02  server  RECORDS (as in records.ts), as often as needed
 *   0x04  server  DONE
 *   0x05  server  REFUSED: a reason for people, UTF-8, 512 bytes at most
 */
import { printableName, utf8 } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { MAX_RECORDS_FRAME_BYTES } from '../limits.ts'
import { cidField, FieldReader } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { encodeFrame } from './frame.ts'
import { DONE, RECORDS } from './records.ts'

const CLAIM = 0x01
export const REFUSED = 0x05

const SECRET_BYTES = 32
const MAX_REASON_BYTES = 512

export const JOIN_TO_SERVER: FrameLimits = { [CLAIM]: 2 * CID_KEY_BYTES + SECRET_BYTES }
export const JOIN_TO_CLIENT: FrameLimits = {
  [RECORDS]: MAX_RECORDS_FRAME_BYTES,
  [DONE]: 0,
  [REFUSED]: MAX_REASON_BYTES,
}

export interface Claim {
  readonly mesh: Cid
  readonly invite: Cid
  readonly secret: Uint8Array
}

export function encodeClaim({ mesh, invite, secret }: Claim): Uint8Array {
  if (secret.length !== SECRET_BYTES) {
    throw new MirrorError('invalid', `an invite's secret is ${SECRET_BYTES} bytes, not ${secret.length}`)
  }
  return encodeFrame(CLAIM, [cidField(mesh), cidField(invite), secret])
}

export function decodeClaim(body: Uint8Array): Claim {
  const reader = new FieldReader(body, 'join')
  const claim = { mesh: reader.cid(), invite: reader.cid(), secret: reader.bytes(SECRET_BYTES).slice() }
  reader.end()
  return claim
}

export function encodeRefusal(reason: string): Uint8Array {
  let bytes = utf8(reason)
  if (bytes.length > MAX_REASON_BYTES)
    bytes = utf8(reason.replace(/[^\x20-\x7e]/g, '?')).subarray(0, MAX_REASON_BYTES)
  return encodeFrame(REFUSED, [bytes])
}

/** Printable whatever the peer sent. */
export function decodeRefusal(body: Uint8Array): string {
  return printableName(body)
}
