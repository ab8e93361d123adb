/**
 * What a publisher without a node of its own signs before a node takes its blocks: Ed25519 over
 * "mirrormesh/upload/1" 00 | mesh 33 | tree's name | 00 | time in ms, 8 bytes big-endian. It is worth nothing beyond
 * that: whoever repeats it within its time may store blocks that the next collection takes away.
 */
import { concatBytes, utf8 } from '../base/bytes.ts'
import { type Cid, cidToKeyBytes } from '../block/cid.ts'
import { type KeyPair, type PublicKey, signBytes, verifyBytes } from './key.ts'

export interface UploadProof {
  readonly mesh: Cid
  readonly tree: string
  readonly timeMs: number
}

/** How far the clocks of the two may be apart. */
export const UPLOAD_PROOF_MS = 10 * 60_000

const DOMAIN = utf8('mirrormesh/upload/1\0')

export function signUpload(key: KeyPair, proof: UploadProof): Uint8Array {
  return signBytes(key, messageOf(proof))
}

export function verifyUpload(key: PublicKey, proof: UploadProof, signature: Uint8Array): boolean {
  return verifyBytes(key, messageOf(proof), signature)
}

function messageOf({ mesh, tree, timeMs }: UploadProof): Uint8Array {
  const time = new Uint8Array(8)
  new DataView(time.buffer).setBigUint64(0, BigInt(timeMs))
  return concatBytes([DOMAIN, cidToKeyBytes(mesh), utf8(`${tree}\0`), time])
}
