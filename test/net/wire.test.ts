import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concatBytes } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { cidFromDigest, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { hostPortToAddress } from '../../src/net/address.ts'
import type { HoldingUpdate } from '../../src/net/ports.ts'
import {
  BLOCKS_1,
  BLOCKS_2,
  BLOCKS_3,
  decodeBlockData,
  decodeBlocksRequest,
  decodeMissing,
  encodeBlocksRequest,
  encodeOffsets,
} from '../../src/net/wire/blocks.ts'
import { createFrameDecoder, encodeFrame, type Frame } from '../../src/net/wire/frame.ts'
import { decodeClaim, decodeRefusal, encodeClaim, encodeRefusal } from '../../src/net/wire/join.ts'
import {
  decodeObjectData,
  decodeObjectRequest,
  encodeObjectData,
  encodeObjectRequest,
  MAX_BASES,
  OBJECT_1,
  OBJECT_2,
} from '../../src/net/wire/object.ts'
import { decodeRecords, decodeWant, recordsFrames, wantFrames } from '../../src/net/wire/records.ts'
import {
  decodeUpdate,
  decodeWatch,
  encodeUpdate,
  encodeWatch,
  WATCH_TO_CLIENT,
} from '../../src/net/wire/watch.ts'

const cid = fc
  .tuple(fc.constantFrom(RAW, DAG_CBOR), fc.uint8Array({ minLength: 32, maxLength: 32 }))
  .map(([codec, digest]) => cidFromDigest(codec, digest))
const tree = fc
  .array(fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/), { minLength: 1, maxLength: 8 })
  .map((s) => s.join('/'))
const body = (frame: Uint8Array): Uint8Array => frame.subarray(5)

test('frames come out as they went in, however the stream cuts them', () => {
  const frames = fc.array(
    fc.record(
      { type: fc.constantFrom(1, 2, 0x81), body: fc.uint8Array({ maxLength: 300 }) },
      { noNullPrototype: true },
    ),
  )
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1 }), (sent, cuts) => {
      const bytes = concatBytes(sent.map((frame) => encodeFrame(frame.type, [frame.body])))
      const decoder = createFrameDecoder({ 1: 300, 2: 300, 129: 300 })
      const got: Frame[] = []
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const length = Math.max(cuts[i % cuts.length]!, i % 7 === 0 ? 1 : 0)
        got.push(...decoder.push(bytes.subarray(at, at + length)))
        at += length
      }
      assert.deepEqual(got, sent)
      assert.equal(decoder.partial().expected, 0)
    }),
  )
})

test('a frame is bytes as the format says', () => {
  assert.deepEqual(encodeFrame(2, [new TextEncoder().encode('ab')]), Uint8Array.of(0, 0, 0, 3, 2, 0x61, 0x62))
})

test('a decoder refuses a type or a length on the header alone', () => {
  for (const header of [
    [0, 0, 0, 1, 9],
    [0, 0, 0, 0, 1],
    [0, 0, 0, 12, 1],
    [0xff, 0xff, 0xff, 0xff, 1],
  ]) {
    assert.throws(() => createFrameDecoder({ 1: 10 }).push(Uint8Array.from(header)), MirrorError)
  }
  assert.deepEqual(createFrameDecoder({ 1: 10 }).push(Uint8Array.of(0, 0, 0, 11, 1)), [])
  // A name that every object has is no type.
  assert.throws(() => createFrameDecoder({}).push(Uint8Array.of(0, 0, 0, 1, 1)), MirrorError)
})

test('requests survive the wire', () => {
  const offsets = fc.uniqueArray(fc.integer({ min: 0, max: 65_535 }), { minLength: 1, maxLength: 1024 })
  fc.assert(
    fc.property(tree, cid, offsets, (name, page, list) => {
      const request = { tree: name, page, offsets: list }
      assert.deepEqual(decodeBlocksRequest(concatBytes(encodeBlocksRequest(request))), request)
      assert.deepEqual(decodeMissing(encodeOffsets(list)), list)
      const wanted = { tree: name, cid: page }
      for (const version of [OBJECT_1, OBJECT_2]) {
        const bytes = concatBytes(encodeObjectRequest(wanted, version))
        assert.deepEqual(decodeObjectRequest(bytes, version), wanted)
      }
      const over = { ...wanted, bases: [page, page, page].slice(list.length % 3) }
      assert.deepEqual(decodeObjectRequest(concatBytes(encodeObjectRequest(over))), over)
      const whole = concatBytes(encodeObjectRequest(over, OBJECT_1))
      assert.deepEqual(decodeObjectRequest(whole, OBJECT_1), wanted)
      const difference = {
        bytes: page.bytes,
        over: { bases: [0, 2].slice(list.length % 2), lengthBytes: 1000 },
      }
      assert.deepEqual(decodeObjectData(concatBytes(encodeObjectData(difference)), MAX_BASES), difference)
      for (const version of [OBJECT_1, OBJECT_2]) {
        const sent = concatBytes(encodeObjectData({ bytes: page.bytes }, version))
        assert.deepEqual(decodeObjectData(sent, MAX_BASES, version), { bytes: page.bytes })
      }
      const watch = { tree: name, snapshot: page }
      assert.deepEqual(decodeWatch(body(encodeWatch(watch))), watch)
    }),
    { numRuns: 50 },
  )
})

test('holdings of any size survive the wire, in frames within their limits', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 2 ** 32 - 2 }), { minLength: 1, maxLength: 500 })
  const run = (first: number, length: number): number[] => Array.from({ length }, (_, i) => first + i)
  const scattered = Array.from({ length: 20_000 }, (_, i) => i * 3)
  const check = (update: HoldingUpdate): void => {
    const found: number[] = []
    for (const bytes of encodeUpdate(update)) {
      const [frame] = createFrameDecoder(WATCH_TO_CLIENT).push(bytes)
      const decoded = decodeUpdate(frame!)
      assert.equal(decoded.kind, update.kind)
      if (decoded.kind === 'pages') found.push(...decoded.full)
      if (decoded.kind === 'blocks') found.push(...decoded.offsets)
    }
    const expected = update.kind === 'pages' ? update.full : update.kind === 'blocks' ? update.offsets : []
    assert.deepEqual(
      found,
      [...new Set(expected)].sort((a, b) => a - b),
    )
  }
  fc.assert(
    fc.property(numbers, (full) => {
      check({ kind: 'pages', full })
      check({ kind: 'blocks', page: 7, offsets: full })
    }),
    { numRuns: 50 },
  )
  check({ kind: 'pages', full: run(5, 200_000) })
  check({ kind: 'pages', full: scattered })
  check({ kind: 'complete' })
  check({ kind: 'unknown' })
})

test('records and wishes survive the wire', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 2000 })), (records) => {
      assert.deepEqual(
        [...recordsFrames(records)].flatMap((frame) => decodeRecords(body(frame))),
        records,
      )
    }),
  )
  const ids = Array.from({ length: 10_000 }, (_, i) => new Uint8Array(32).fill(i & 0xff))
  assert.deepEqual(
    [...wantFrames(ids)].flatMap((frame) => decodeWant(body(frame))),
    ids,
  )
  assert.throws(() => [...recordsFrames([new Uint8Array(65_537)])], MirrorError)
})

test('claims and refusals survive the wire; a refusal is printable whatever it holds', () => {
  fc.assert(
    fc.property(cid, cid, fc.uint8Array({ minLength: 32, maxLength: 32 }), (mesh, invite, secret) => {
      assert.deepEqual(decodeClaim(body(encodeClaim({ mesh, invite, secret }))), { mesh, invite, secret })
    }),
  )
  assert.equal(decodeRefusal(body(encodeRefusal('used already'))), 'used already')
  assert.equal(decodeRefusal(Uint8Array.of(0x1b, 0x5b, 0x33, 0x31, 0x6d)), '\\x1b[31m')
  assert.ok(body(encodeRefusal('ü'.repeat(2000))).length <= 512)
})

test('whatever the bytes, a decoder answers or throws a MirrorError', () => {
  const decoders: ((bytes: Uint8Array) => unknown)[] = [
    decodeBlocksRequest,
    (bytes) => decodeObjectRequest(bytes, OBJECT_1),
    (bytes) => decodeObjectRequest(bytes, OBJECT_2),
    (bytes) => decodeObjectData(bytes, 3),
    decodeMissing,
    (bytes) => decodeBlockData(bytes, BLOCKS_1),
    (bytes) => decodeBlockData(bytes, BLOCKS_2),
    (bytes) => decodeBlockData(bytes, BLOCKS_3),
    decodeWatch,
    decodeClaim,
    decodeRecords,
    decodeWant,
    (bytes) => decodeUpdate({ type: 0x83, body: bytes }),
    (bytes) => decodeUpdate({ type: 0x84, body: bytes }),
    (bytes) => createFrameDecoder({ 1: 100, 2: 100 }).push(bytes),
  ]
  const sound = concatBytes(
    encodeBlocksRequest({ tree: 'a/b', page: cidFromDigest(RAW, new Uint8Array(32)), offsets: [1, 2] }),
  )
  const mutated = fc
    .array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 4 })
    .map((changes) => changes.reduce((bytes, [at, value]) => bytes.with(at, value), sound))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
      for (const decode of decoders) {
        try {
          decode(bytes)
        } catch (error) {
          assert.ok(error instanceof MirrorError, String(error))
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('runs that promise more than a message may name are refused before they are unrolled', () => {
  const huge = Uint8Array.of(0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
  assert.throws(() => decodeUpdate({ type: 0x83, body: huge }), MirrorError)
})

test('host:port becomes an address, anything else is refused', () => {
  assert.equal(hostPortToAddress('0.0.0.0:4001'), '/ip4/0.0.0.0/tcp/4001')
  assert.equal(hostPortToAddress('[::1]:0'), '/ip6/::1/tcp/0')
  assert.equal(hostPortToAddress('mirror.example.com:65535'), '/dns/mirror.example.com/tcp/65535')
  for (const bad of [
    '',
    ':1',
    'a',
    'a:b',
    'a:70000',
    '::1:4001',
    '[1.2.3.4]:1',
    'a/b:1',
    'a b:1',
    '-x:1',
    '[::1]',
    'a:1:2',
  ]) {
    assert.throws(() => hostPortToAddress(bad), MirrorError, bad)
  }
})
