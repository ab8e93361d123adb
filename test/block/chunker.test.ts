import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { isMirrorError } from '../../src/base/errors.ts'
import type { ChunkerParams } from '../../src/block/chunker.ts'
import { checkChunkerParams, createChunker, cutAll, DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { pseudoRandomBytes } from './pseudo-random.ts'

const SMALL: ChunkerParams = { kind: 'gear64', minBytes: 128, avgBytes: 512, maxBytes: 2048 }

const golden = JSON.parse(readFileSync(new URL('./golden/cut-points.json', import.meta.url), 'utf8')) as {
  params: ChunkerParams
  seed: number
  length: number
  cuts: number[]
}[]

/** The definition in docs/formats.md, word for word and slow. */
function referenceCuts(params: ChunkerParams, bytes: Uint8Array): number[] {
  const wrap = (value: bigint): bigint => BigInt.asUintN(64, value)
  let state = 0x6d6972726d657368n
  const gear: bigint[] = []
  for (let i = 0; i < 256; i++) {
    state = wrap(state + 0x9e3779b97f4a7c15n)
    let z = state
    z = wrap((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
    z = wrap((z ^ (z >> 27n)) * 0x94d049bb133111ebn)
    gear.push(z ^ (z >> 31n))
  }
  const bits = BigInt(Math.log2(params.avgBytes))
  const lengths: number[] = []
  let start = 0
  while (start < bytes.length) {
    let length = 0
    const limit = Math.min(params.maxBytes, bytes.length - start)
    for (length = Math.min(params.minBytes, limit); length < limit; length++) {
      let hash = 0n
      for (let i = start + length - 64; i < start + length; i++) hash = wrap((hash << 1n) + gear[bytes[i]!]!)
      const zeros = length <= params.avgBytes - params.minBytes ? bits + 2n : bits - 2n
      if (hash >> (64n - zeros) === 0n) break
    }
    lengths.push(length)
    start += length
  }
  return lengths
}

test('cut points are those of the golden file, for ever', () => {
  assert.ok(golden.length >= 4)
  assert.ok(
    golden.some(({ params }) => isDeepStrictEqual({ ...params, inlineBytes: 4096 }, DEFAULT_CHUNKER)),
    'the default is fixed too',
  )
  for (const { params, seed, length, cuts } of golden) {
    assert.deepEqual(cutAll(params, pseudoRandomBytes(seed, length)), cuts)
  }
})

test('the WASM loop cuts where the written definition says', () => {
  for (const [seed, length] of [
    [7, 12_000],
    [8, 127],
    [9, 128],
    [10, 129],
  ] as const) {
    const bytes = pseudoRandomBytes(seed, length)
    assert.deepEqual(cutAll(SMALL, bytes), referenceCuts(SMALL, bytes))
  }
  // Few distinct values: long runs without a cut, and cuts forced at the maximum.
  const sparse = pseudoRandomBytes(11, 9_000).map((byte) => (byte < 8 ? byte : 0))
  assert.deepEqual(cutAll(SMALL, sparse), referenceCuts(SMALL, sparse))
})

test('lengths stay within the bounds and add up', () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(20_000), fc.constantFrom(255, 15, 0), (seed, length, mask) => {
      const bytes = pseudoRandomBytes(seed, length).map((byte) => byte & mask)
      const lengths = cutAll(SMALL, bytes)
      assert.equal(
        lengths.reduce((sum, each) => sum + each, 0),
        length,
      )
      for (const [i, each] of lengths.entries()) {
        assert.ok(each <= SMALL.maxBytes && (each >= SMALL.minBytes || i === lengths.length - 1))
      }
    }),
    { numRuns: 60 },
  )
})

test('the average length is near the one asked for', () => {
  const lengths = cutAll(DEFAULT_CHUNKER, pseudoRandomBytes(3, 16 << 20))
  const average = (16 << 20) / lengths.length
  assert.ok(
    average > 0.8 * DEFAULT_CHUNKER.avgBytes && average < 1.2 * DEFAULT_CHUNKER.avgBytes,
    `${average}`,
  )
})

test('a cut does not depend on where the window starts, nor on how the bytes arrive', () => {
  const bytes = pseudoRandomBytes(21, 30_000)
  const expected = cutAll(SMALL, bytes)
  fc.assert(
    fc.property(fc.nat(500), fc.integer({ min: 1, max: 3_000 }), (offset, stepBytes) => {
      const chunker = createChunker(SMALL, { capacityBytes: 40_000 })
      chunker.buffer.set(bytes, offset)
      const lengths: number[] = []
      let start = offset
      let end = offset
      while (start < offset + bytes.length) {
        end = Math.min(end + stepBytes, offset + bytes.length)
        const isEnd = end === offset + bytes.length
        for (;;) {
          const length = start < end ? chunker.nextCut(start, end, isEnd) : 0
          if (length === 0) break
          lengths.push(length)
          start += length
        }
      }
      assert.deepEqual(lengths, expected)
    }),
    { numRuns: 25 },
  )
})

test('an insertion changes the chunks near it and no others', () => {
  fc.assert(
    fc.property(fc.nat(200_000), fc.integer({ min: 1, max: 40 }), (at, insertedBytes) => {
      const before = pseudoRandomBytes(5, 200_000)
      const after = new Uint8Array(before.length + insertedBytes).fill(0x41)
      after.set(before.subarray(0, at))
      after.set(before.subarray(at), at + insertedBytes)
      const known = new Set(chunkIds(SMALL, before))
      const fresh = chunkIds(SMALL, after).filter((id) => !known.has(id))
      assert.ok(fresh.length <= 12, `${fresh.length} new chunks`)
    }),
    { numRuns: 30 },
  )
})

function chunkIds(params: ChunkerParams, bytes: Uint8Array): string[] {
  let at = 0
  return cutAll(params, bytes).map((length) => {
    at += length
    return cidOf(RAW, bytes.subarray(at - length, at)).toString()
  })
}

test('the window is the memory that is cut, and it never moves', () => {
  const chunker = createChunker(DEFAULT_CHUNKER, { capacityBytes: 1 << 20 })
  const { buffer } = chunker
  assert.equal(buffer.length, 1 << 20)
  buffer.set(pseudoRandomBytes(1, buffer.length))
  assert.ok(chunker.nextCut(0, buffer.length, false) > 0)
  assert.equal(chunker.buffer, buffer)
  assert.equal(buffer.byteLength, 1 << 20)
})

test('a range outside the window is refused', () => {
  const chunker = createChunker(SMALL, { capacityBytes: 4096 })
  for (const [start, end] of [
    [-1, 10],
    [10, 9],
    [0, 4097],
    [Number.NaN, 10],
  ] as const) {
    assert.throws(
      () => chunker.nextCut(start, end, true),
      (error) => isMirrorError(error, 'internal'),
    )
  }
})

test('parameters out of bounds, of another kind or shape are refused', () => {
  assert.deepEqual(checkChunkerParams({ ...DEFAULT_CHUNKER }), DEFAULT_CHUNKER)
  const cases = [
    ['unsupported', { ...SMALL, kind: 'rabin' }],
    ['corrupt', undefined],
    ['corrupt', 7],
    ['corrupt', { kind: 'gear64' }],
    ['corrupt', { ...SMALL, minBytes: '128' }],
    ['corrupt', { ...SMALL, minBytes: 128.5 }],
    ['limit', { ...SMALL, avgBytes: 500 }],
    ['limit', { ...SMALL, minBytes: 63 }],
    ['limit', { ...SMALL, minBytes: 257 }],
    ['limit', { ...SMALL, maxBytes: 1023 }],
    ['limit', { ...SMALL, maxBytes: 4 * 1024 * 1024 + 1 }],
    ['limit', { ...SMALL, minBytes: -128 }],
  ] as const
  for (const [code, value] of cases) {
    assert.throws(
      () => checkChunkerParams(value),
      (error) => isMirrorError(error, code),
      JSON.stringify(value),
    )
  }
})
