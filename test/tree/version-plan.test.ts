import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { planVersions } from '../../src/tree/versions/version-plan.ts'

const input = fc.record({
  sequences: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 20 }),
  tagged: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 }),
  old: fc.uniqueArray(
    fc.record({
      name: fc.integer({ min: 1, max: 40 }).map(String),
      untilMs: fc.integer({ min: 0, max: 200_000 }),
    }),
    { maxLength: 8, selector: ({ name }) => name },
  ),
  latest: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  before: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  keep: fc.integer({ min: 1, max: 6 }),
  keepOldMs: fc.constantFrom(0, 1_000, 100_000),
  nowMs: fc.integer({ min: 0, max: 200_000 }),
})

test('each version stays, waits or goes; what must stay does, and what waits is over one day', () => {
  fc.assert(
    fc.property(input, ({ sequences, tagged, ...rest }) => {
      const versions = sequences
        .toSorted((a, b) => b - a)
        .map((sequence) => ({ sequence, snapshot: `s${sequence}` }))
      const isTagged = (snapshot: string) => tagged.some((each) => snapshot === `s${each}`)
      const plan = planVersions({ ...rest, versions, isTagged })
      const names = (list: readonly { sequence: number }[]) => list.map(({ sequence }) => String(sequence))
      const all = [...names(plan.staying), ...plan.waiting.map(({ name }) => name), ...names(plan.due)]
      assert.deepEqual(all.toSorted(), names(versions).toSorted())
      for (const [at, { sequence }] of versions.entries()) {
        const mustStay = at < rest.keep || sequence === rest.latest || tagged.includes(sequence)
        assert.equal(
          plan.staying.some((each) => each.sequence === sequence),
          mustStay,
        )
      }
      for (const { sequence } of plan.due) {
        assert.notEqual(sequence, rest.before)
        const known = rest.old.find(({ name }) => name === String(sequence))
        assert.ok(known === undefined ? rest.keepOldMs === 0 : known.untilMs <= rest.nowMs)
      }
      const endMs = Math.max(0, ...plan.waiting.map(({ untilMs }) => untilMs))
      assert.ok(plan.waiting.every(({ untilMs }) => untilMs > rest.nowMs))
      const { before: _, ...later } = rest
      const end = planVersions({ ...later, versions, isTagged, old: plan.waiting, nowMs: endMs })
      assert.deepEqual(
        names(end.due).filter((name) => plan.waiting.some((each) => each.name === name)).length,
        plan.waiting.length,
      )
    }),
  )
})
