import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPair as generateLibp2pKey, privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { concatBytes, hex, utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import {
  generateKeyPair,
  keyPairFromSeed,
  peerIdOf,
  publicKeyOf,
  signBytes,
  verifyBytes,
} from '../../src/record/key.ts'

test("keys and signatures are RFC 8032's", () => {
  // Section 7.1, test 2.
  const key = keyPairFromSeed(
    Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex'),
  )
  assert.equal(hex(key.publicKey), '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
  const signature = signBytes(key, Uint8Array.of(0x72))
  assert.equal(
    hex(signature),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  )
  assert.ok(verifyBytes(key.publicKey, Uint8Array.of(0x72), signature))
})

test('the PeerId of a key is the one that libp2p gives it', async () => {
  const raw = (await generateLibp2pKey('Ed25519')).raw
  const key = keyPairFromSeed(raw.subarray(0, 32))
  const theirs = peerIdFromPrivateKey(privateKeyFromRaw(concatBytes([key.seed, key.publicKey])))
  assert.equal(key.peer, theirs.toString())
  assert.deepEqual(publicKeyOf(key.peer), key.publicKey)
  assert.equal(peerIdOf(key.publicKey), key.peer)
})

test('a wrong key, message or signature does not verify, and never throws', () => {
  const key = generateKeyPair()
  const message = utf8('hello')
  const signature = signBytes(key, message)
  assert.ok(verifyBytes(key.publicKey, message, signature))
  assert.equal(verifyBytes(generateKeyPair().publicKey, message, signature), false)
  assert.equal(verifyBytes(key.publicKey, utf8('hellO'), signature), false)
  assert.equal(verifyBytes(key.publicKey, message, signature.subarray(1)), false)
  assert.equal(verifyBytes(new Uint8Array(31), message, signature), false)
  assert.equal(verifyBytes(new Uint8Array(32).fill(0xff), message, signature), false)
})

test('what is not the PeerId of an Ed25519 key is refused', () => {
  for (const text of [
    '',
    'x',
    '12D3KooW',
    'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
    '1'.repeat(10_000),
    '0OIl',
  ]) {
    assert.throws(
      () => publicKeyOf(text),
      (error) => isMirrorError(error, 'invalid'),
      text.slice(0, 60),
    )
  }
})
