import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import { utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import {
  CID_KEY_BYTES,
  checkCid,
  cidFromDigest,
  cidFromKeyBytes,
  cidKey,
  cidOf,
  cidToKeyBytes,
  DAG_CBOR,
  parseCid,
  RAW,
  verifyBlock,
} from '../../src/block/cid.ts'

const codecs = fc.constantFrom(RAW, DAG_CBOR)
const bytes = fc.uint8Array({ maxLength: 64 })

test('the printed form is CIDv1 with blake3-256 in base32', () => {
  assert.equal(
    cidOf(RAW, new Uint8Array()).toString(),
    'bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi',
  )
})

test('every CID survives its key, its printed form and its bytes', () => {
  fc.assert(
    fc.property(codecs, bytes, (codec, content) => {
      const cid = cidOf(codec, content)
      const key = cidToKeyBytes(cid)
      assert.equal(key.length, CID_KEY_BYTES)
      assert.ok(cidFromKeyBytes(key).equals(cid))
      assert.ok(cidFromKeyBytes(Uint8Array.of(9, 9, ...key), 2).equals(cid))
      assert.ok(parseCid(cid.toString()).equals(cid))
      assert.ok(checkCid(CID.decode(cid.bytes)).equals(cid))
      assert.equal(Buffer.from(cidKey(cid), 'latin1').compare(key), 0)
    }),
  )
})

test('keys are the same exactly when codec and content are', () => {
  fc.assert(
    fc.property(codecs, bytes, codecs, bytes, (codecA, a, codecB, b) => {
      const isSame = codecA === codecB && Buffer.from(a).equals(b)
      assert.equal(cidKey(cidOf(codecA, a)) === cidKey(cidOf(codecB, b)), isSame)
    }),
  )
})

test('CIDs made in a row are those that multiformats makes, each with bytes of its own', () => {
  const digests = Array.from({ length: 40 }, (_, i) => new Uint8Array(32).fill(i))
  const made = digests.map((digest) => cidFromDigest(RAW, digest))
  made.forEach((cid, i) => {
    const expected = CID.createV1(RAW, create(0x1e, digests[i]!))
    assert.deepEqual([...cid.bytes], [...expected.bytes])
    assert.deepEqual([...cid.multihash.bytes], [...expected.multihash.bytes])
    assert.deepEqual([...cid.multihash.digest], [...digests[i]!])
    assert.equal(cid.toString(), expected.toString())
  })
  assert.throws(
    () => cidFromDigest(RAW, new Uint8Array(31)),
    (error) => isMirrorError(error, 'corrupt'),
  )
})

test('a key decoded from a larger buffer does not share its memory', () => {
  const key = cidToKeyBytes(cidOf(RAW, utf8('x')))
  const cid = cidFromKeyBytes(key)
  key.fill(0)
  assert.ok(cid.equals(cidOf(RAW, utf8('x'))))
})

test('any other form of CID is refused', () => {
  const digest = cidOf(RAW, new Uint8Array()).multihash.digest
  const others = [
    CID.createV1(0x70, create(0x1e, digest)),
    CID.createV1(RAW, create(0x12, digest)),
    CID.createV1(RAW, create(0x1e, digest.slice(0, 20))),
    CID.createV0(create(0x12, digest) as never),
    'bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi',
    undefined,
    {},
  ]
  for (const other of others) {
    assert.throws(
      () => checkCid(other),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
  for (const text of ['', 'bafy', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', '../../etc']) {
    assert.throws(
      () => parseCid(text),
      (error) => isMirrorError(error, 'invalid'),
    )
  }
})

test('bytes that are not a key are refused', () => {
  for (const key of [new Uint8Array(), new Uint8Array(33), new Uint8Array(32).fill(RAW)]) {
    assert.throws(
      () => cidFromKeyBytes(key),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
})

test('a block that differs in one bit does not verify', () => {
  fc.assert(
    fc.property(codecs, fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (codec, content, at) => {
      const cid = cidOf(codec, content)
      verifyBlock(cid, content)
      const changed = content.slice()
      changed[at % changed.length]! ^= 1 << (at % 8)
      assert.throws(
        () => verifyBlock(cid, changed),
        (error) => isMirrorError(error, 'corrupt'),
      )
    }),
  )
})
