/**
 * The short code by which people see that the key that asks to join is the one that they mean: shown where the newcomer
 * runs and at the member that it asked, and compared by the admin.
 *
 * Short authentication strings as in ZRTP (RFC 6189, 4.4.1.1): a code of 8 digits would be found by trying keys and
 * nonces until it fits, so nobody gets to try. The newcomer commits to its nonce before it sees the member's, and the code
 * hangs on both: whoever stands in between has to fix his own part of each side's code before he knows the other's, and
 * has one chance in 10^8 for each exchange. Keys are proven by the connection that carries the exchange.
 *
 *   commitment = BLAKE3("mirrormesh/join-commitment/1" 00 | mesh 33 | newcomer's key 32 | its nonce 32 | site | region)
 *   code       = BLAKE3("mirrormesh/join-code/1" 00 | mesh 33 | newcomer's key 32 | member's key 32 |
 *                newcomer's nonce 32 | member's nonce 32 | site | region), first 8 bytes big-endian modulo 10^8
 *
 * Site and region are a byte of length and ASCII; length 0 when the newcomer names none.
 */
import { concatBytes, utf8 } from '../base/bytes.ts'
import { type Cid, cidToKeyBytes } from '../block/cid.ts'
import { blake3 } from '../block/hash.ts'
import type { PublicKey } from './key.ts'

export const NONCE_BYTES = 32
export const COMMITMENT_BYTES = 32

/** What the newcomer would like to be; the admin decides. */
export interface JoinWish {
  readonly site?: string
  readonly region?: string
}

export interface Committed extends JoinWish {
  readonly mesh: Cid
  readonly newcomer: PublicKey
  readonly newcomerNonce: Uint8Array
}

const COMMITMENT = utf8('mirrormesh/join-commitment/1\0')
const CODE = utf8('mirrormesh/join-code/1\0')
const CODES = 100_000_000n

export function joinCommitment({ mesh, newcomer, newcomerNonce, ...wish }: Committed): Uint8Array {
  return blake3.digest(
    concatBytes([COMMITMENT, cidToKeyBytes(mesh), newcomer, newcomerNonce, wishBytes(wish)]),
  )
}

/** Printed as `1234-5678`. */
export function joinCode({
  mesh,
  newcomer,
  newcomerNonce,
  member,
  memberNonce,
  ...wish
}: Committed & { readonly member: PublicKey; readonly memberNonce: Uint8Array }): string {
  const digest = blake3.digest(
    concatBytes([CODE, cidToKeyBytes(mesh), newcomer, member, newcomerNonce, memberNonce, wishBytes(wish)]),
  )
  const number = new DataView(digest.buffer, digest.byteOffset).getBigUint64(0) % CODES
  return number
    .toString()
    .padStart(8, '0')
    .replace(/(?<=^....)/, '-')
}

export function isJoinCode(text: string): boolean {
  return /^\d{4}-\d{4}$/.test(text)
}

/** As on the wire. */
export function wishBytes({ site = '', region = '' }: JoinWish): Uint8Array {
  return concatBytes([site, region].flatMap((name) => [Uint8Array.of(name.length), utf8(name)]))
}
