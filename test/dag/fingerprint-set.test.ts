import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Cid } from '../../src/block/cid.ts'
import { cidFromDigest, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { createFingerprintSet } from '../../src/dag/fingerprint-set.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import { createMemoryScratch } from '../../src/dag/scratch.ts'
import { createMemorySource } from './memory-source.ts'
import { chunkCid } from './trees.ts'

/** Counts what is open, so that nothing is left behind. */
function countedScratch(): Scratch & { readonly open: Scratch['open']; made: number; left: number } {
  const inner = createMemoryScratch()
  const counted = {
    made: 0,
    left: 0,
    open() {
      const file = inner.open()
      counted.made += 1
      counted.left += 1
      return {
        get sizeBytes() {
          return file.sizeBytes
        },
        append: file.append,
        read: file.read,
        close() {
          counted.left -= 1
          file.close()
        },
      }
    },
  }
  return counted
}

/** Few distinct words, so that many digests share their first one, or all but the last. */
const digests = fc
  .tuple(
    fc.constantFrom(0, 1, 0x80, 0xff),
    fc.constantFrom(0, 7),
    fc.constantFrom(0, 0xff),
    fc.integer({ min: 0, max: 40 }),
  )
  .map(([a, b, c, d]) => {
    const digest = new Uint8Array(32)
    digest.set([a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d])
    return digest
  })
const cids: fc.Arbitrary<Cid> = fc
  .tuple(digests, fc.constantFrom(RAW, DAG_CBOR))
  .map(([digest, codec]) => cidFromDigest(codec, digest))

test('a set that spills answers as one that holds everything', () => {
  fc.assert(
    fc.property(
      fc.array(cids, { minLength: 100, maxLength: 1500 }),
      fc.constantFrom(4, 16, 64),
      fc.constantFrom(64, 4096),
      (added, maxSlots, filterBytes) => {
        const scratch = countedScratch()
        const plain = createFingerprintSet()
        const spilling = createFingerprintSet({ scratch, maxSlots, filterBytes })
        for (const cid of added) assert.equal(spilling.add(cid), plain.add(cid))
        assert.equal(spilling.size, plain.size)
        if (plain.size > maxSlots) assert.ok(scratch.made > 0, 'nothing was spilled')
        spilling.close()
        assert.equal(scratch.left, 0)
      },
    ),
    { numRuns: 100 },
  )
})

test('runs are merged: few are left, and pages end where they may', () => {
  const scratch = countedScratch()
  const set = createFingerprintSet({ scratch, maxSlots: 1024 })
  const count = 100_000
  for (let i = 0; i < count; i++) assert.ok(set.add(chunkCid(i)))
  assert.ok(scratch.made > 100, `${scratch.made} files`)
  assert.ok(scratch.left <= 8, `${scratch.left} runs of ${count} fingerprints`)
  for (let i = 0; i < count; i++) assert.ok(!set.add(chunkCid(i)))
  assert.equal(set.size, count)
  set.close()
  assert.equal(scratch.left, 0)
})

test('digests that share their first words fill page after page', () => {
  const set = createFingerprintSet({ scratch: createMemoryScratch(), maxSlots: 256 })
  const twins = Array.from({ length: 1500 }, (_, i) => {
    const digest = new Uint8Array(32).fill(0x55)
    digest[14] = i >>> 8
    digest[15] = i & 0xff
    return cidFromDigest(RAW, digest)
  })
  for (const cid of twins) assert.ok(set.add(cid))
  for (const cid of twins) assert.ok(!set.add(cid))
})

test('the block index is the same whether its builder spills or not', () => {
  const lists = fc.array(fc.nat(800), { maxLength: 3000 })
  fc.assert(
    fc.property(lists, fc.constantFrom(4, 32, 256), (numbers, maxSlots) => {
      const scratch = countedScratch()
      const [a, b] = [createMemorySource(), createMemorySource()]
      const plain = createBlockIndexBuilder(a.emit)
      const spilling = createBlockIndexBuilder(b.emit, { scratch, maxSlots, filterBytes: 1024 })
      for (const n of numbers) {
        plain.add(chunkCid(n), 1 + n)
        spilling.add(chunkCid(n), 1 + n)
      }
      assert.deepEqual(spilling.finish(), plain.finish())
      assert.deepEqual([...b.blocks.keys()], [...a.blocks.keys()])
      assert.equal(scratch.left, 0)
    }),
    { numRuns: 60 },
  )
})
