import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createLinkTable } from '../../src/tree/import/link-table.ts'

test('a link table groups inodes as a map of them does', () => {
  // Links that were met too often, or whose count changed meanwhile, start a group anew once theirs is full.
  const meeting = fc.record({
    dev: fc.constantFrom(1n, 2n ** 40n),
    ino: fc.oneof(fc.bigInt({ min: 0n, max: 60n }), fc.constantFrom(2n ** 63n, 2n ** 32n)),
    links: fc.integer({ min: 2, max: 5 }),
  })
  fc.assert(
    fc.property(fc.array(meeting, { maxLength: 600 }), (meetings) => {
      const table = createLinkTable()
      const known = new Map<string, { group: number; missing: number }>()
      const counts: number[] = []
      for (const { dev, ino, links } of meetings) {
        const key = `${dev},${ino}`
        const open = known.get(key)
        const group = open?.group ?? counts.push(0) - 1
        counts[group]! += 1
        const missing = (open?.missing ?? links) - 1
        if (missing > 0) known.set(key, { group, missing })
        else known.delete(key)
        assert.deepEqual(table.meet(dev, ino, links), { group, isFirst: open === undefined })
      }
      assert.deepEqual([...table.memberCounts()], counts)
    }),
  )
})

test('a link table forgets what is whole, through growth and removal', () => {
  const table = createLinkTable()
  const count = 50_000
  for (let ino = 0; ino < count; ino++)
    assert.deepEqual(table.meet(7n, BigInt(ino), 3), { group: ino, isFirst: true })
  for (let round = 0; round < 2; round++) {
    for (let ino = count - 1; ino >= 0; ino--)
      assert.deepEqual(table.meet(7n, BigInt(ino), 3), { group: ino, isFirst: false })
  }
  assert.deepEqual(table.meet(7n, 5n, 3), { group: count, isFirst: true })
  assert.ok(
    table
      .memberCounts()
      .subarray(0, count)
      .every((members) => members === 3),
  )
})
