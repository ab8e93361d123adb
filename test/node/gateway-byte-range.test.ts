import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { contentRange, MAX_RANGES, parseRange } from '../../node/gateway/byte-range.ts'

const spans = (header: string, sizeBytes: number): unknown => {
  const answer = parseRange(header, sizeBytes)
  return answer.kind === 'ranges'
    ? answer.ranges.map((range) => [range.startByte, range.endByte])
    : answer.kind
}

test('the forms of RFC 9110 are understood', () => {
  assert.deepEqual(spans('bytes=0-499', 10_000), [[0, 500]])
  assert.deepEqual(spans('bytes=9500-', 10_000), [[9500, 10_000]])
  assert.deepEqual(spans('bytes=-500', 10_000), [[9500, 10_000]])
  assert.deepEqual(spans('bytes=-20000', 10_000), [[0, 10_000]])
  assert.deepEqual(spans('bytes=0-99999', 10_000), [[0, 10_000]])
  assert.deepEqual(spans('Bytes = 0-0 , -1', 10_000), [
    [0, 1],
    [9999, 10_000],
  ])
  assert.equal(contentRange({ startByte: 0, endByte: 500 }, 10_000), 'bytes 0-499/10000')
})

test('what is malformed or of another unit is ignored', () => {
  for (const header of [
    'bytes=',
    'bytes=a-b',
    'bytes=5-2',
    'bytes=-',
    'items=0-5',
    'bytes 0-5',
    'bytes=0-5;7-8',
    'bytes=,',
  ]) {
    assert.equal(spans(header, 100), 'whole', header)
  }
  assert.equal(parseRange(undefined, 100).kind, 'whole')
})

test('ranges outside the file are not satisfiable; those inside are kept', () => {
  assert.equal(spans('bytes=100-', 100), 'unsatisfiable')
  assert.equal(spans('bytes=-0', 100), 'unsatisfiable')
  assert.equal(spans('bytes=0-', 0), 'unsatisfiable')
  assert.deepEqual(spans('bytes=100-200,5-5', 100), [[5, 6]])
  assert.equal(spans(`bytes=${'9'.repeat(400)}-`, 100), 'unsatisfiable')
})

test('overlapping and touching ranges are joined, disjoint ones keep their order', () => {
  assert.deepEqual(spans('bytes=0-9,5-19,20-29', 100), [[0, 30]])
  assert.deepEqual(spans('bytes=50-59,0-9', 100), [
    [50, 60],
    [0, 10],
  ])
})

test('over the bound the header is refused', () => {
  const many = Array.from({ length: MAX_RANGES + 1 }, (_, i) => `${i * 2}-${i * 2}`).join(',')
  assert.equal(spans(`bytes=${many}`, 1000), 'unsatisfiable')
})

test('no header makes an answer longer than the file', () => {
  const spec = fc
    .tuple(fc.option(fc.nat(200)), fc.option(fc.nat(200)))
    .map(([a, b]) => `${a ?? ''}-${b ?? ''}`)
  fc.assert(
    fc.property(fc.array(spec, { minLength: 1, maxLength: 40 }), fc.nat(150), (specs, sizeBytes) => {
      const answer = parseRange(`bytes=${specs.join(',')}`, sizeBytes)
      if (answer.kind !== 'ranges') return
      let total = 0
      for (const { startByte, endByte } of answer.ranges) {
        assert.ok(startByte >= 0 && startByte < endByte && endByte <= sizeBytes)
        total += endByte - startByte
      }
      assert.ok(total <= sizeBytes)
    }),
  )
})
