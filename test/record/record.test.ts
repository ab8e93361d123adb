import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concatBytes } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { encodeCbor } from '../../src/block/codec.ts'
import { draftOpaque, draftRecord, signDraft, signRecord } from '../../src/record/draft.ts'
import { generateKeyPair } from '../../src/record/key.ts'
import {
  decodeSigned,
  decodeStored,
  encodeSigned,
  MAX_RECORD_BYTES,
  peekRecordId,
} from '../../src/record/record.ts'
import { admin, createAuthor, keyOf, NOW_MS, snapshotOf } from './author.ts'

const mesh = createAuthor().mesh
const alice = keyOf('alice')
const bob = keyOf('bob')

function opaque(body: unknown, overrides: Partial<Parameters<typeof draftOpaque>[0]> = {}) {
  return draftOpaque({
    kind: 'later',
    body,
    mesh,
    issuer: alice.publicKey,
    tip: undefined,
    timeMs: NOW_MS,
    ...overrides,
  })
}

test('a record decodes to what was signed', () => {
  const tip = { counter: 6, id: mesh }
  const body = {
    tree: 'builds/rhel',
    tag: 'ga',
    snapshot: snapshotOf('a'),
    sequence: 3,
    version: 2,
    removed: false,
  }
  const draft = draftRecord({ kind: 'tag', body, mesh, issuer: alice.publicKey, tip, timeMs: NOW_MS })
  const bytes = signRecord(draft, alice)
  const record = decodeSigned(bytes)
  assert.deepEqual(record.content, { kind: 'tag', body })
  assert.equal(record.counter, 7)
  assert.ok(record.prev?.equals(mesh))
  assert.ok(record.mesh?.equals(mesh))
  assert.equal(record.issuerPeer, alice.peer)
  assert.equal(record.timeMs, NOW_MS)
  assert.ok(record.id.equals(draft.id))
  assert.ok(record.id.equals(cidOf(DAG_CBOR, draft.payload)))
  assert.ok(peekRecordId(bytes).equals(draft.id))
  assert.deepEqual(decodeStored(bytes), record)
})

test('any flipped bit makes a record refused', () => {
  const bytes = signRecord(opaque({ text: 'hello' }), alice)
  for (let at = 0; at < bytes.length; at++) {
    const bent = bytes.slice()
    bent[at]! ^= 1 << (at % 8)
    assert.throws(
      () => decodeSigned(bent),
      (error) => isMirrorError(error),
      `byte ${at}`,
    )
  }
})

test('a truncated record is refused at every length', () => {
  const bytes = signRecord(opaque({ text: 'hello' }), alice)
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(
      () => decodeSigned(bytes.subarray(0, length)),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
  assert.throws(
    () => decodeSigned(concatBytes([bytes, Uint8Array.of(0)])),
    (error) => isMirrorError(error, 'corrupt'),
  )
})

test('a record over its limit is refused before it is read, and cannot be drafted', () => {
  assert.throws(
    () => decodeSigned(new Uint8Array(MAX_RECORD_BYTES + 1)),
    (error) => isMirrorError(error, 'limit'),
  )
  assert.throws(
    () => opaque({ text: 'x'.repeat(MAX_RECORD_BYTES) }),
    (error) => isMirrorError(error, 'limit'),
  )
  const large = opaque({ text: 'x'.repeat(MAX_RECORD_BYTES - 5000) })
  assert.equal(decodeSigned(signRecord(large, alice)).kind, 'later')
})

test('a signature by another key, or over another payload, is refused', () => {
  const draft = opaque({})
  const other = opaque({ more: 1 })
  const stolen = { key: alice.publicKey, signature: signDraft(other, alice).signature }
  const forged = { key: alice.publicKey, signature: signDraft(draft, bob).signature }
  for (const signature of [stolen, forged]) {
    assert.throws(() => decodeSigned(encodeSigned(draft.payload, [signature])), /signature by .* is wrong/)
  }
})

test('the signers are exactly those that the payload names: none is stripped, none added', () => {
  const draft = opaque({}, { cosigners: [bob.publicKey] })
  const byAlice = signDraft(draft, alice)
  const byBob = signDraft(draft, bob)
  assert.equal(decodeSigned(encodeSigned(draft.payload, [byAlice, byBob])).cosigners.length, 1)
  const stranger = signDraft(draft, generateKeyPair())
  for (const signatures of [[byAlice], [byBob], [byAlice, byBob, stranger], [byAlice, byAlice], []]) {
    assert.throws(
      () => decodeSigned(encodeSigned(draft.payload, signatures)),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
})

test('a record that is not canonical dag-cbor is refused, inside and outside', () => {
  const draft = opaque({ a: 1, b: 2 })
  const payload = Buffer.from(draft.payload)
  // The body's two entries in the other order, signed by the issuer: the same meaning under another id.
  const at = payload.indexOf(Buffer.from('6161016162', 'hex'))
  assert.notEqual(at, -1)
  const swapped = Uint8Array.from(payload)
  swapped.set(Buffer.from('616202616101', 'hex'), at)
  assert.throws(() => decodeSigned(signRecord({ ...draft, payload: swapped }, alice)), /not canonical/)
  // The integer 1 in two bytes.
  const wide = Uint8Array.from(
    Buffer.concat([payload.subarray(0, at + 2), Buffer.from('1801', 'hex'), payload.subarray(at + 3)]),
  )
  assert.throws(
    () => decodeSigned(signRecord({ ...draft, payload: wide }, alice)),
    (error) => isMirrorError(error, 'corrupt'),
  )
  const signed = signDraft(draft, alice)
  const keysSwapped = concatBytes([
    Uint8Array.of(0xa2, 0x61, 0x73),
    encodeCbor([[signed.key, signed.signature]]),
    Uint8Array.of(0x61, 0x70),
    encodeCbor(draft.payload),
  ])
  assert.throws(() => decodeSigned(keysSwapped), /not canonical/)
})

test('fields of the payload outside their bounds are refused', () => {
  const good = {
    body: {},
    cosigners: [],
    counter: 1,
    issuer: alice.publicKey,
    kind: 'later',
    mesh,
    prev: null,
    timeMs: 0,
    v: 1,
  }
  const signed = (payload: unknown) => {
    const bytes = encodeCbor(payload)
    return signRecord({ ...opaque({}), payload: bytes }, alice)
  }
  assert.equal(decodeSigned(signed(good)).counter, 1)
  for (const change of [
    { counter: 0 },
    { counter: -1 },
    { counter: 1.5 },
    { counter: 2 },
    { prev: mesh },
    { mesh: null },
    { kind: 'genesis' },
    { kind: 'No Such' },
    { timeMs: -1 },
    { issuer: new Uint8Array(31) },
    { cosigners: [alice.publicKey] },
    { cosigners: [bob.publicKey, bob.publicKey] },
    { more: 1 },
    { v: 0 },
  ]) {
    assert.throws(
      () => decodeSigned(signed({ ...good, ...change })),
      (error) => isMirrorError(error, 'corrupt'),
      JSON.stringify(change),
    )
  }
  assert.throws(
    () => decodeSigned(signed({ ...good, v: 2, more: 1 })),
    (error) => isMirrorError(error, 'unsupported'),
  )
})

test('bytes of any kind give a record or a MirrorError', () => {
  const seeds = createAuthor().records.map(({ bytes }) => bytes)
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.anything({ withBigInt: false }).map((value) => {
          try {
            return encodeCbor({ p: encodeCbor(value), s: [[admin.publicKey, new Uint8Array(64)]] })
          } catch {
            return new Uint8Array(0)
          }
        }),
        fc
          .tuple(fc.constantFrom(...seeds), fc.nat(), fc.uint8Array({ maxLength: 8 }))
          .map(([seed, at, patch]) => {
            const bent = seed.slice()
            bent.set(patch.subarray(0, Math.max(0, bent.length - (at % bent.length))), at % bent.length)
            return bent
          }),
      ),
      (bytes) => {
        try {
          decodeSigned(bytes)
        } catch (error) {
          assert.ok(isMirrorError(error), String(error))
        }
      },
    ),
    { numRuns: 500 },
  )
})
