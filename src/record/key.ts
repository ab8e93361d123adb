/**
 * Ed25519 keys: 32-byte seeds and public keys, signatures through node:crypto, and the PeerId text that names a key
 * everywhere people look. A PeerId here is libp2p's for Ed25519: base58btc of the identity multihash
 * `00 24 | 08 01 12 20 | public key` (libp2p peer-ids specification), so a node's key is its address in the mesh.
 *
 * KeyObjects are cached (bounded): building one costs about as much as a verification.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { MirrorError } from '../base/errors.ts'

/** 32 bytes: the raw Ed25519 public key. */
export type PublicKey = Uint8Array
/** The printed name of a key: `12D3KooW...`. */
export type PeerId = string

export const KEY_BYTES = 32
export const SIGNATURE_BYTES = 64

export interface KeyPair {
  /** 32 secret bytes. Never logged, never sent. */
  readonly seed: Uint8Array
  readonly publicKey: PublicKey
  readonly peer: PeerId
}

// RFC 8410: the fixed DER around 32 raw bytes.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const PEER_PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
const MAX_CACHED_KEYS = 4096

export function generateKeyPair(): KeyPair {
  return keyPairFromSeed(new Uint8Array(randomBytes(KEY_BYTES)))
}

/** @throws MirrorError `invalid` when the seed is not 32 bytes */
export function keyPairFromSeed(seed: Uint8Array): KeyPair {
  if (seed.length !== KEY_BYTES)
    throw new MirrorError('invalid', `a key's seed is 32 bytes, not ${seed.length}`)
  const spki = createPublicKey(privateKeyObject(seed)).export({ format: 'der', type: 'spki' })
  const publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX.length))
  return { seed: seed.slice(), publicKey, peer: peerIdOf(publicKey) }
}

export function signBytes(key: KeyPair, message: Uint8Array): Uint8Array {
  return new Uint8Array(
    sign(
      null,
      message,
      signers.get(key.peer, () => privateKeyObject(key.seed)),
    ),
  )
}

/** False for a wrong signature, a wrong length, or 32 bytes that are not a key. Never throws. */
export function verifyBytes(publicKey: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false
  try {
    return verify(
      null,
      message,
      verifiers.get(latin1(publicKey), () => publicKeyObject(publicKey)),
      signature,
    )
  } catch {
    return false
  }
}

/** @throws MirrorError `invalid` when the key is not 32 bytes */
export function peerIdOf(publicKey: PublicKey): PeerId {
  if (publicKey.length !== KEY_BYTES) {
    throw new MirrorError('invalid', `a public key is 32 bytes, not ${publicKey.length}`)
  }
  return peerIds.get(latin1(publicKey), () => {
    const bytes = new Uint8Array(PEER_PREFIX.length + KEY_BYTES)
    bytes.set(PEER_PREFIX)
    bytes.set(publicKey, PEER_PREFIX.length)
    return base58btc.baseEncode(bytes)
  })
}

/** @throws MirrorError `invalid` when `peer` is not the PeerId of an Ed25519 key */
export function publicKeyOf(peer: PeerId): PublicKey {
  const key = keyBytesOf(peer)
  if (key === undefined) {
    throw new MirrorError(
      'invalid',
      `not the PeerId of an Ed25519 key: ${JSON.stringify(peer.slice(0, 80))}`,
      {
        hint: 'A PeerId begins with 12D3KooW; "mirrormesh status" prints those of the mesh.',
      },
    )
  }
  return key
}

function keyBytesOf(peer: string): PublicKey | undefined {
  const bytes = decodeBase58(peer)
  const isKey =
    bytes?.length === PEER_PREFIX.length + KEY_BYTES && PEER_PREFIX.every((byte, i) => bytes[i] === byte)
  return isKey ? bytes.slice(PEER_PREFIX.length) : undefined
}

export function isPeerId(text: string): boolean {
  return keyBytesOf(text) !== undefined
}

function decodeBase58(text: string): Uint8Array | undefined {
  // Base58 decoding is quadratic: a bound on the length comes first.
  if (text.length > 64) return undefined
  try {
    return base58btc.baseDecode(text)
  } catch {
    return undefined
  }
}

function privateKeyObject(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
}

function publicKeyObject(publicKey: PublicKey): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** Keeps the last few thousand results of a pure function; the oldest entry leaves first. */
function boundedCache<T>(): { get(key: string, make: () => T): T } {
  const entries = new Map<string, T>()
  return {
    get(key, make) {
      const known = entries.get(key)
      if (known !== undefined) return known
      const made = make()
      if (entries.size >= MAX_CACHED_KEYS) entries.delete(entries.keys().next().value as string)
      entries.set(key, made)
      return made
    },
  }
}

const signers = boundedCache<KeyObject>()
const verifiers = boundedCache<KeyObject>()
const peerIds = boundedCache<string>()
