import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blake3 } from '../../src/block/hash.ts'
import { BitSet } from '../../src/replica/bit-set.ts'
import { assignOwners, nextInLine } from '../../src/replica/scheduler/rendezvous.ts'
import { cutSegments, segmentTargetBytes } from '../../src/replica/scheduler/segments.ts'

const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/), { minLength: 1, maxLength: 8 })
const sizes = fc.array(fc.integer({ min: 1, max: 1024 * 1024 }), { minLength: 1, maxLength: 200 })
const key = fc.uint8Array({ minLength: 32, maxLength: 32 })

test('every site computes the same owners, in whatever order it knows the others', () => {
  fc.assert(
    fc.property(names, sizes, key, (sites, bytes, page) => {
      const candidates = sites.map((site) => ({ site }))
      const owners = assignOwners(page, bytes, candidates)
      assert.deepEqual(assignOwners(page, bytes, candidates.toReversed()), owners)
      assert.equal(owners.length, bytes.length)
      for (const owner of owners) assert.ok(sites.includes(owner))
    }),
  )
})

test('any run of neighbouring segments is shared evenly, within a few segments', () => {
  fc.assert(
    fc.property(names, sizes, key, fc.nat(), fc.nat(), (sites, bytes, page, a, b) => {
      const owners = assignOwners(
        page,
        bytes,
        sites.map((site) => ({ site })),
      )
      const first = Math.min(a % bytes.length, b % bytes.length)
      const end = Math.max(a % bytes.length, b % bytes.length) + 1
      const loads = new Map(sites.map((site) => [site, 0]))
      let total = 0
      for (let i = first; i < end; i++) {
        loads.set(owners[i]!, loads.get(owners[i]!)! + bytes[i]!)
        total += bytes[i]!
      }
      const largest = Math.max(...bytes)
      for (const load of loads.values()) assert.ok(load <= total / sites.length + 4 * largest)
    }),
  )
})

test('a site with twice the weight takes twice the bytes', () => {
  const bytes = Array.from({ length: 3000 }, () => 1000)
  const owners = assignOwners(blake3.digest(new Uint8Array(1)), bytes, [
    { site: 'a', weight: 2 },
    { site: 'b', weight: 1 },
  ])
  const share = owners.filter((owner) => owner === 'a').length / bytes.length
  assert.ok(Math.abs(share - 2 / 3) < 0.02, String(share))
})

test('segments cover the page once, in order, and stay near their size', () => {
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 2 * 1024 * 1024 }), (lengths, target) => {
      const segments = cutSegments(lengths, target)
      let next = 0
      for (const { firstBlock, endBlock, sizeBytes } of segments) {
        assert.equal(firstBlock, next)
        assert.ok(endBlock > firstBlock)
        assert.equal(
          sizeBytes,
          lengths.slice(firstBlock, endBlock).reduce((sum, length) => sum + length, 0),
        )
        assert.ok(sizeBytes - lengths[endBlock - 1]! < target)
        next = endBlock
      }
      assert.equal(next, lengths.length)
    }),
  )
})

test('a small snapshot is cut finely, a large one into full segments', () => {
  assert.equal(segmentTargetBytes(10 * 1024), 10)
  assert.equal(segmentTargetBytes(200 * 1024 * 1024), 200 * 1024)
  assert.equal(segmentTargetBytes(50e12), 1024 * 1024)
})

test('a bit set behaves as a set of numbers', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 5000 }))), (changes) => {
      const bits = new BitSet(8)
      const numbers = new Set<number>()
      for (const [adds, number] of changes) {
        assert.equal(bits.has(number), numbers.has(number))
        if (adds) assert.equal(bits.add(number), !numbers.has(number))
        else assert.equal(bits.delete(number), numbers.has(number))
        if (adds) numbers.add(number)
        else numbers.delete(number)
      }
      assert.equal(bits.size, numbers.size)
      assert.deepEqual(
        [...bits],
        [...numbers].sort((a, b) => a - b),
      )
    }),
  )
})

test('next in line is anybody but the one that is passed over, and who it is does not hang on it', () => {
  const candidates = ['a', 'b', 'c', 'd'].map((site) => ({ site }))
  const key = new Uint8Array(32).fill(9)
  const counts = new Map<string, number>()
  for (let segment = 0; segment < 1000; segment++) {
    const next = nextInLine(key, segment, candidates, 'a')!
    assert.notEqual(next, 'a')
    assert.equal(nextInLine(key, segment, candidates.toReversed(), 'a'), next)
    if (next !== 'c')
      assert.equal(
        nextInLine(key, segment, candidates, 'c') === 'a' ||
          nextInLine(key, segment, candidates, 'c') === next,
        true,
      )
    counts.set(next, (counts.get(next) ?? 0) + 1)
  }
  for (const count of counts.values()) assert.ok(count > 250 && count < 420, `${count} of 1000`)
  assert.equal(nextInLine(key, 0, [{ site: 'a' }], 'a'), undefined)
})

test('sites of the same ranks take the same segments, whatever their names and their order', () => {
  fc.assert(
    fc.property(names, sizes, key, (sites, bytes, page) => {
      const ranked = sites.map((site, rank) => ({ site, rank }))
      const others = sites.map((site, rank) => ({ site: `other ${site}`, rank })).toReversed()
      const owners = assignOwners(page, bytes, ranked)
      assert.deepEqual(
        assignOwners(page, bytes, others),
        owners.map((site) => `other ${site}`),
      )
    }),
  )
})
