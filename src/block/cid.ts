/**
 * Content identifiers: CIDv1 of a raw chunk (0x55) or a dag-cbor node (0x71), both with BLAKE3-256 (0x1e). No other
 * form is accepted anywhere, so a CID is one codec byte and 32 digest bytes: `cidKey` packs them for maps and disks.
 */
import { CID } from 'multiformats/cid'
import { Digest } from 'multiformats/hashes/digest'
import { MirrorError } from '../base/errors.ts'
import { blake3, DIGEST_BYTES } from './hash.ts'
import { CID_KEY_BYTES } from './key-bytes.ts'

export { CID_KEY_BYTES }

export const RAW = 0x55
export const DAG_CBOR = 0x71
export const BLAKE3_256 = 0x1e

export type BlockCodec = typeof RAW | typeof DAG_CBOR
export type Cid = CID

/** The CID of `bytes` as a block of `codec`. */
export function cidOf(codec: BlockCodec, bytes: Uint8Array): Cid {
  return cidFromDigest(codec, blake3.digest(bytes))
}

/** @param digest 32 bytes, copied. @throws MirrorError `corrupt` when they are not 32 */
export function cidFromDigest(codec: BlockCodec, digest: Uint8Array): Cid {
  if (digest.length !== DIGEST_BYTES) {
    throw new MirrorError('corrupt', `a BLAKE3-256 digest has ${DIGEST_BYTES} bytes, not ${digest.length}`)
  }
  if (slabAt === SLAB_CIDS * CID_BYTES) {
    slab = new Uint8Array(SLAB_CIDS * CID_BYTES)
    slabAt = 0
  }
  const bytes = slab.subarray(slabAt, slabAt + CID_BYTES)
  slabAt += CID_BYTES
  bytes[0] = 1
  bytes[1] = codec
  bytes[2] = BLAKE3_256
  bytes[3] = DIGEST_BYTES
  bytes.set(digest, 4)
  return new CID(1, codec, new Digest(BLAKE3_256, DIGEST_BYTES, bytes.subarray(4), bytes.subarray(2)), bytes)
}

/**
 * Version, codec, hash function and length are one byte each. The CIDs of a slab share one allocation: each of their
 * own takes three outside of the heap, and trees have millions (measured: 0.3 against 1.5 us, half the peak memory). A
 * CID that lives long keeps no more than its slab.
 */
const CID_BYTES = 4 + DIGEST_BYTES
const SLAB_CIDS = 16
let slab = new Uint8Array(SLAB_CIDS * CID_BYTES)
let slabAt = 0

/** A key for maps and sets: 33 characters, one a byte. Two CIDs are the same exactly when their keys are. */
export function cidKey(cid: Cid): string {
  keyBuffer[0] = cid.code
  keyBuffer.set(cid.multihash.digest, 1)
  return keyBuffer.toString('latin1')
}

/** The `cidKey` of the CID that has this key. */
export function cidKeyOfBytes(key: Uint8Array): string {
  keyBuffer.set(key)
  return keyBuffer.toString('latin1')
}

/** Copied here first: a Buffer over a digest would move it out of the heap for good, for the allocator to keep. */
const keyBuffer = Buffer.allocUnsafeSlow(CID_KEY_BYTES)

/** The 33 bytes of `cidKey`, for disks and wires. */
export function cidToKeyBytes(cid: Cid): Uint8Array {
  const bytes = new Uint8Array(CID_KEY_BYTES)
  bytes[0] = cid.code
  bytes.set(cid.multihash.digest, 1)
  return bytes
}

export function isKeyBytes(bytes: Uint8Array): boolean {
  return bytes.length === CID_KEY_BYTES && (bytes[0] === RAW || bytes[0] === DAG_CBOR)
}

/** @throws MirrorError `corrupt` when the 33 bytes at `offset` are not a key of ours */
export function cidFromKeyBytes(bytes: Uint8Array, offset = 0): Cid {
  const codec = bytes[offset]
  if (bytes.length < offset + CID_KEY_BYTES || (codec !== RAW && codec !== DAG_CBOR)) {
    throw new MirrorError('corrupt', 'not a block key: it is 33 bytes, the first 0x55 or 0x71')
  }
  return cidFromDigest(codec, bytes.subarray(offset + 1, offset + CID_KEY_BYTES))
}

/** @throws MirrorError `corrupt` when `cid` is not of the one accepted form */
export function checkCid(cid: unknown): Cid {
  const found = CID.asCID(cid)
  if (
    found === null ||
    found.version !== 1 ||
    (found.code !== RAW && found.code !== DAG_CBOR) ||
    found.multihash.code !== BLAKE3_256 ||
    found.multihash.digest.length !== DIGEST_BYTES
  ) {
    throw new MirrorError(
      'corrupt',
      `not a CIDv1 of raw or dag-cbor with blake3-256: ${String(cid).slice(0, 80)}`,
    )
  }
  return found
}

/** Parses the printed form. @throws MirrorError `invalid` */
export function parseCid(text: string): Cid {
  try {
    return checkCid(CID.parse(text))
  } catch (error) {
    throw new MirrorError('invalid', `not a block's CID: ${text.slice(0, 80)}`, { cause: error })
  }
}

/** @throws MirrorError `corrupt` when `bytes` are not the block that `cid` names */
export function verifyBlock(cid: Cid, bytes: Uint8Array): void {
  if (isBlockOf(cid, bytes)) return
  throw new MirrorError('corrupt', `block does not match its CID ${cid.toString()}`, {
    facts: { cid: cid.toString(), bytes: bytes.length },
  })
}

/** True when `bytes` are the block that `cid` names. */
export function isBlockOf(cid: Cid, bytes: Uint8Array): boolean {
  const digest = blake3.digest(bytes)
  const expected = cid.multihash.digest
  for (let i = 0; i < DIGEST_BYTES; i++) if (digest[i] !== expected[i]) return false
  return true
}
