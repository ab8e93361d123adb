/**
 * Messages of `/mirrormesh/1/join-request`: a newcomer without an invite asks, and asks again whether it is let in.
 *
 *   type  from    body
 *   0x01  client  POLL: 33 bytes mesh
 *   0x03  client  COMMIT: 33 bytes mesh, 32 bytes commitment, site and region (a byte of length, then ASCII; 0: none)
 *   0x06  client  REVEAL: 32 bytes nonce
 *   0x02  server  RECORDS (as in records.ts), as often as needed: it is a member
 *   0x04  server  DONE: after the last RECORDS
 *   0x05  server  REFUSED: a reason for people, UTF-8, 512 bytes at most
 *   0x07  server  NONCE: 32 bytes, the answer to COMMIT
 *   0x08  server  PENDING: the 32 bytes of NONCE again, the answer to REVEAL and POLL
 *   0x09  server  UNKNOWN: no body; the answer to POLL when nothing (any more) is known of this newcomer
 *
 * Commitment and code: src/record/request-code.ts.
 */
import { decodeUtf8 } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { isSegment } from '../../base/names.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { COMMITMENT_BYTES, type JoinWish, NONCE_BYTES, wishBytes } from '../../record/request-code.ts'
import { MAX_RECORDS_FRAME_BYTES } from '../limits.ts'
import { cidField, FieldReader } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { encodeFrame } from './frame.ts'
import { REFUSED } from './join.ts'
import { DONE, RECORDS } from './records.ts'

export const POLL = 0x01
export const COMMIT = 0x03
export const REVEAL = 0x06
export const NONCE = 0x07
export const PENDING = 0x08
export const UNKNOWN = 0x09

const MAX_NAME_BYTES = 64
const MAX_REASON_BYTES = 512

export const JOIN_REQUEST_TO_SERVER: FrameLimits = {
  [POLL]: CID_KEY_BYTES,
  [COMMIT]: CID_KEY_BYTES + COMMITMENT_BYTES + 2 * (1 + MAX_NAME_BYTES),
  [REVEAL]: NONCE_BYTES,
}
export const JOIN_REQUEST_TO_CLIENT: FrameLimits = {
  [RECORDS]: MAX_RECORDS_FRAME_BYTES,
  [DONE]: 0,
  [REFUSED]: MAX_REASON_BYTES,
  [NONCE]: NONCE_BYTES,
  [PENDING]: NONCE_BYTES,
  [UNKNOWN]: 0,
}

export interface Commit {
  readonly mesh: Cid
  readonly commitment: Uint8Array
  readonly wish: JoinWish
}

export function encodePoll(mesh: Cid): Uint8Array {
  return encodeFrame(POLL, [cidField(mesh)])
}

export function decodePoll(body: Uint8Array): Cid {
  const reader = new FieldReader(body, 'join request')
  const mesh = reader.cid()
  reader.end()
  return mesh
}

export function encodeCommit({ mesh, commitment, wish }: Commit): Uint8Array {
  return encodeFrame(COMMIT, [cidField(mesh), commitment, wishBytes(wish)])
}

export function decodeCommit(body: Uint8Array): Commit {
  const reader = new FieldReader(body, 'join request')
  const mesh = reader.cid()
  const commitment = reader.bytes(COMMITMENT_BYTES).slice()
  const site = readName(reader, 'site')
  const region = readName(reader, 'region')
  reader.end()
  const wish = { ...(site === '' ? {} : { site }), ...(region === '' ? {} : { region }) }
  return { mesh, commitment, wish }
}

function readName(reader: FieldReader, what: string): string {
  const name = decodeUtf8(reader.bytes(reader.u8()))
  if (name === undefined || (name !== '' && !isSegment(name)))
    throw new MirrorError('corrupt', `malformed join request message: the ${what} is no name`)
  return name
}

/** REVEAL, NONCE or PENDING. */
export function encodeNonce(type: number, nonce: Uint8Array): Uint8Array {
  return encodeFrame(type, [nonce])
}

export function decodeNonce(body: Uint8Array): Uint8Array {
  const reader = new FieldReader(body, 'join request')
  const nonce = reader.bytes(NONCE_BYTES).slice()
  reader.end()
  return nonce
}
