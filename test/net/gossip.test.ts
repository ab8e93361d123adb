import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { messageName } from '../../src/net/gossip.ts'

const bytes = fc.option(fc.uint8Array({ maxLength: 6 }), { nil: undefined })
const message = fc.record({
  from: bytes,
  data: bytes,
  seqno: bytes,
  topic: fc.string({ maxLength: 4 }),
  signature: bytes,
  key: bytes,
})

const changed = message.chain((given) =>
  fc
    .constantFrom('from', 'data', 'seqno', 'topic', 'signature', 'key')
    .chain((field) =>
      (field === 'topic' ? fc.string({ maxLength: 4 }) : bytes).map((part) => ({ ...given, [field]: part })),
    )
    .map((other) => [given, other] as const),
)

/** What was checked under a name lets pass whatever else has it. */
test('two messages have the same name only if every field is the same, absent ones and empty ones told apart', () => {
  fc.assert(
    fc.property(changed, ([a, b]) => {
      assert.equal(messageName(a as never) === messageName(b as never), isDeepStrictEqual({ ...a }, { ...b }))
      assert.equal(messageName(a as never), messageName(structuredClone(a) as never))
    }),
    { numRuns: 500 },
  )
  // The same bytes, cut elsewhere.
  const cut = (at: number) => {
    const all = Uint8Array.of(1, 2, 3, 4)
    return { topic: 't', from: all.subarray(0, at), data: all.subarray(at) }
  }
  assert.equal(new Set([0, 1, 2, 3, 4].map((at) => messageName(cut(at) as never))).size, 5)
})
