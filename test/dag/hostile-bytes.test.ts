import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MirrorError } from '../../src/base/errors.ts'
import type { Block } from '../../src/block/block.ts'
import { decodeIndexNode } from '../../src/dag/block-index.ts'
import { decodeDirectoryNode } from '../../src/dag/directory.ts'
import { decodeEncodings, decodePlan, encodeEncodings, encodePlan } from '../../src/dag/encodings.ts'
import { decodeEntry, encodeEntry } from '../../src/dag/entry.ts'
import { decodeFileNode } from '../../src/dag/file.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/dag/snapshot.ts'
import { decodeXattrBlock } from '../../src/dag/xattrs.ts'
import { LATER_ENTRIES, SAMPLE_ENTRIES, sampleBlocks } from './samples.ts'

const seeds = sampleBlocks().filter(({ block }) => block.bytes.length < 4_000)
const DECODERS = {
  dir: decodeDirectoryNode,
  file: decodeFileNode,
  index: decodeIndexNode,
  snapshot: decodeSnapshot,
  xattrs: decodeXattrBlock,
  encodings: decodeEncodings,
  plan: decodePlan,
} as const

/** Changes of a byte, cuts, insertions of heads that promise much, and runs copied elsewhere. */
const mutation = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('set', 'cut', 'insert', 'remove', 'copy'),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 9 }),
    fc
      .constantFrom(
        [0x9b, 0, 0x1f, 255, 255, 255, 255, 255, 255],
        [0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
        [0x5a, 255, 255, 255, 255],
        [0x9f],
        [0xf6],
        [0xf7],
        [0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
        [0x18, 0x01],
      )
      .map((bytes) => Uint8Array.from(bytes)),
  ),
})

function mutate(
  seed: Uint8Array,
  { at, kind, bytes }: { at: number; kind: string; bytes: Uint8Array },
): Uint8Array {
  const place = at % (seed.length + 1)
  const [head, tail] = [seed.subarray(0, place), seed.subarray(place)]
  if (kind === 'cut') return seed.slice(0, place)
  if (kind === 'insert') return Buffer.concat([head, bytes, tail])
  if (kind === 'remove') return Buffer.concat([head, tail.subarray(bytes.length)])
  if (kind === 'copy') return Buffer.concat([head, seed.subarray(0, bytes[0]), tail])
  return Buffer.concat([head, bytes, tail.subarray(bytes.length)])
}

/** The value, or undefined when it was refused as it should be; anything else thrown fails the test. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    assert.ok(error instanceof MirrorError, String(error))
    assert.ok(['corrupt', 'limit', 'unsupported'].includes(error.code), `${error.code}: ${error.message}`)
    return undefined
  }
}

test('mutated nodes are decoded or refused with a MirrorError, never anything else', () => {
  let refused = 0
  fc.assert(
    fc.property(fc.nat(), fc.array(mutation, { minLength: 1, maxLength: 3 }), (which, mutations) => {
      const { kind, block } = seeds[which % seeds.length]!
      const bytes = mutations.reduce(mutate, block.bytes)
      const decode: (cid: Block['cid'], bytes: Uint8Array) => unknown = DECODERS[kind]
      if (attempt(() => decode(block.cid, bytes)) === undefined) refused++
    }),
    { numRuns: 3_000 },
  )
  assert.ok(refused > 1_000, `only ${refused} were refused`)
})

test('an entry or snapshot that is decoded at all has exactly the bytes it would be written as', () => {
  const samples = [...SAMPLE_ENTRIES, ...LATER_ENTRIES]
  fc.assert(
    fc.property(fc.nat(), mutation, (which, change) => {
      const seed = encodeEntry(samples[which % samples.length]!)
      const bytes = mutate(seed, change)
      const entry = attempt(() => decodeEntry(bytes))
      if (entry !== undefined) assert.equal(Buffer.compare(encodeEntry(entry), bytes), 0)
    }),
    { numRuns: 3_000 },
  )
  const { block } = seeds.find(({ kind }) => kind === 'snapshot')!
  fc.assert(
    fc.property(mutation, (change) => {
      const bytes = mutate(block.bytes, change)
      const snapshot = attempt(() => decodeSnapshot(block.cid, bytes))
      if (snapshot !== undefined) assert.equal(Buffer.compare(encodeSnapshot(snapshot).bytes, bytes), 0)
    }),
    { numRuns: 2_000 },
  )
  const set = seeds.find((seed) => seed.kind === 'encodings')!.block
  const plan = seeds.find((seed) => seed.kind === 'plan')!.block
  fc.assert(
    fc.property(mutation, (change) => {
      const bytes = [mutate(set.bytes, change), mutate(plan.bytes, change)] as const
      const encodings = attempt(() => decodeEncodings(set.cid, bytes[0]))
      if (encodings !== undefined) assert.equal(Buffer.compare(encodeEncodings(encodings).bytes, bytes[0]), 0)
      const entries = attempt(() => decodePlan(plan.cid, bytes[1]))
      if (entries !== undefined) assert.equal(Buffer.compare(encodePlan(entries).bytes, bytes[1]), 0)
    }),
    { numRuns: 2_000 },
  )
})

test('random bytes are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const { cid } = seeds[0]!.block
      for (const decode of Object.values(DECODERS))
        assert.equal(
          attempt(() => decode(cid, bytes)),
          undefined,
        )
    }),
    { numRuns: 300 },
  )
})
