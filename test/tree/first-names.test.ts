import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { createFirstNames } from '../../src/tree/checkout/first-names.ts'

test('the first name of each group is found again, wherever it waits', (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-names-'))
  t.after(() => fs.rmSync(dir, { recursive: true }))
  const openFiles = (): number => fs.readdirSync('/proc/self/fd').length
  const before = openFiles()
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 300, size: 'max' }),
      fc.constantFrom(1, 2, 7, 1000),
      fc.constantFrom(2, 8, 64),
      (order, maxHeld, firstSlots) => {
        const groups = createFirstNames(dir, { maxHeld, firstSlots })
        const known = new Map<number, { path: string; slot: number; names: number }>()
        for (const [slot, group] of order.entries()) {
          const name = `${'d/'.repeat(group)}${slot}`
          const found = groups.meet(`group ${group}`, Buffer.from(name), slot)
          const expected = known.get(group)
          assert.deepEqual(
            found && [found.path.toString(), found.slot],
            expected && [expected.path, expected.slot],
          )
          if (expected === undefined) known.set(group, { path: name, slot, names: 1 })
          else expected.names += 1
        }
        const all = [...groups.all()].map(({ path: at, slot, names }) => ({
          path: at.toString(),
          slot,
          names,
        }))
        const bySlot = (a: { slot: number }, b: { slot: number }): number => a.slot - b.slot
        assert.deepEqual(all.sort(bySlot), [...known.values()].sort(bySlot))
        groups.close()
        assert.deepEqual(fs.readdirSync(dir), [])
      },
    ),
    { numRuns: 60 },
  )
  assert.equal(openFiles(), before)
})
