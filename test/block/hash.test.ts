import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { hex } from '../../src/base/bytes.ts'
import { blake3, loadNativeBlake3, loadWasmBlake3 } from '../../src/block/hash.ts'

/** Input of the official test vectors (BLAKE3-team/BLAKE3, test_vectors.json): the bytes 0 to 250, repeated. */
function vectorInput(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i % 251)
}

const VECTORS: readonly (readonly [string, Uint8Array, string])[] = [
  ['nothing', vectorInput(0), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'],
  ['one zero', vectorInput(1), '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213'],
  [
    'abc',
    new TextEncoder().encode('abc'),
    '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85',
  ],
]

function withoutNative(t: TestContext): void {
  assert.notEqual(process.env.CI, 'true', 'the native build does not load here')
  t.skip('no native build for this machine')
}

for (const load of [loadNativeBlake3, loadWasmBlake3]) {
  test(`${load.name} gives the published digests`, (t) => {
    const implementation = load()
    // The native build is an optional dependency: where it has no prebuilt binary, the WASM one stands alone.
    if (implementation === undefined) {
      withoutNative(t)
      return
    }
    for (const [name, input, digest] of VECTORS) assert.equal(hex(implementation.digest(input)), digest, name)
  })
}

test('the native and the WASM build agree on any input', (t) => {
  const native = loadNativeBlake3()
  if (native === undefined) {
    withoutNative(t)
    return
  }
  const wasm = loadWasmBlake3()
  for (const length of [1, 63, 64, 65, 1023, 1024, 1025, 2048, 4097, 131_072, 1_000_003]) {
    const input = vectorInput(length)
    assert.equal(hex(native.digest(input)), hex(wasm.digest(input)), `${length} bytes`)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5_000 }), (input) => {
      assert.deepEqual(native.digest(input), wasm.digest(input))
      const key = native.digest(input)
      const parts = [input.subarray(0, 7), input, new Uint8Array()]
      assert.deepEqual(native.keyed(key, parts), wasm.keyed(key, parts))
      assert.notDeepEqual(native.keyed(key, parts), native.keyed(native.digest(key), parts))
    }),
    { numRuns: 50 },
  )
})

test('a digest is of the view alone and belongs to the caller', () => {
  const whole = vectorInput(300)
  const digest = blake3.digest(whole.subarray(100, 200))
  assert.deepEqual(digest, blake3.digest(whole.slice(100, 200)))
  digest.fill(0)
  assert.notDeepEqual(blake3.digest(whole.subarray(100, 200)), digest)
})
