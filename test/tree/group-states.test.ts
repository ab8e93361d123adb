import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LinkableEntry } from '../../src/dag/entry.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import type { GroupState } from '../../src/tree/import/group-states.ts'
import { createGroupStates } from '../../src/tree/import/group-states.ts'
import { META, numberedFiles } from '../dag/trees.ts'

test('groups that were put aside come back as they were', (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-groups-'))
  t.after(() => fs.rmSync(dir, { recursive: true }))
  const firsts: readonly (LinkableEntry | undefined)[] = [
    undefined,
    { type: 'symlink', name: Buffer.from('s'), target: Buffer.from('there'), ...META },
    ...numberedFiles(3),
  ]
  // Each group is met as often as it has members; the first of some is set by a later member only.
  const orders = fc.array(fc.integer({ min: 2, max: 5 }), { minLength: 1, maxLength: 60 }).chain((members) =>
    fc.shuffledSubarray(
      members.flatMap((count, group) => Array.from({ length: count }, () => group)),
      { minLength: members.reduce((sum, count) => sum + count, 0) },
    ),
  )
  fc.assert(
    fc.property(orders, fc.constantFrom(1, 2, 7, 1000), (order, maxHeld) => {
      const states = createGroupStates(dir, maxHeld)
      const known = new Map<number, GroupState>()
      for (const group of order) {
        const make = (): GroupState => ({
          link: new Uint8Array(8).fill(group),
          missing: order.filter((each) => each === group).length,
        })
        const expected = known.get(group) ?? make()
        known.set(group, expected)
        expected.missing -= 1
        const state = states.meet(group, make)
        assert.equal(state.missing, expected.missing)
        assert.deepEqual(Buffer.from(state.link), Buffer.from(expected.link))
        assert.deepEqual(plain(state.first), plain(expected.first))
        const first = firsts[(group + expected.missing) % firsts.length]
        if (first === undefined || state.first !== undefined) continue
        state.first = first
        expected.first = first
      }
      assert.deepEqual(fs.readdirSync(dir), [])
    }),
    { numRuns: 60 },
  )
})

function plain(entry: LinkableEntry | undefined): string | undefined {
  return entry && Buffer.from(encodeEntry(entry)).toString('hex')
}
