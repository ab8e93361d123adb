/** Blocks that are made here of something else: the scheduler asks nobody for them, and is complete with them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createScheduler } from '../../src/replica/scheduler/scheduler.ts'
import type { SchedulerEvent } from '../../src/replica/scheduler/types.ts'

const BLOCKS = 24
const LENGTH = 64 * 1024
const all = Array.from({ length: BLOCKS }, (_, i) => i)

function begin(withheld: readonly number[]): SchedulerEvent[] {
  return [
    {
      ...{ kind: 'peer', peer: 'hq', place: { site: 'hq', region: 'east' } },
      ...{ wants: false, isConnected: true },
    },
    { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
    {
      ...{ kind: 'page', page: 0, key: new Uint8Array(32).fill(7), withheld },
      ...{ lengths: all.map(() => LENGTH), has: all.map(() => false) },
    },
    { kind: 'pages-end' },
  ] as SchedulerEvent[]
}

/** A scheduler whose only source answers at once. */
function start(withheld: readonly number[]) {
  const scheduler = createScheduler({
    self: { site: 'me', region: 'west' },
    snapshotBytes: BLOCKS * LENGTH,
    maxPipelineBytes: 4 * LENGTH,
    minPipelineBytes: 4 * LENGTH,
  })
  const asked: number[] = []
  const owed: SchedulerEvent[] = []
  let nowMs = 0
  let isComplete = false
  const handle = (events: readonly SchedulerEvent[], answers: boolean): void => {
    for (let due = [...events]; due.length > 0; ) {
      const commands = scheduler.handle(due, ++nowMs)
      due = []
      for (const command of commands) {
        if (command.kind === 'complete') isComplete = true
        if (command.kind !== 'request') continue
        asked.push(...command.offsets)
        const { request, page } = command
        for (const offset of command.offsets)
          (answers ? due : owed).push({ kind: 'received', request, page, offset })
      }
    }
  }
  return {
    asked,
    handle,
    takeOwed: () => owed.splice(0),
    explain: () => scheduler.explain(nowMs),
    isComplete: () => isComplete,
    begin: begin(withheld),
  }
}

test('what is withheld is asked of nobody until it is released, and says so', () => {
  const it = start([3, 4, 5, 20])
  it.handle(it.begin, true)
  assert.deepEqual(
    it.asked.toSorted((a, b) => a - b),
    all.filter((i) => ![3, 4, 5, 20].includes(i)),
  )
  assert.ok(!it.isComplete())
  assert.ok(it.explain().segments.every(({ state }) => state === 'made of deltas, or waits for them'))
  it.handle([{ kind: 'release', page: 0, offsets: [4] }], true)
  assert.equal(it.asked.at(-1), 4)
  it.handle([{ kind: 'made', page: 0, offsets: [3, 5, 20] }], true)
  assert.ok(it.isComplete())
  assert.equal(it.explain().duplicateBlocks, 0)
})

test('whatever is withheld, released and made, and when, every block comes once and the fetch ends', () => {
  const change = fc.record({
    kind: fc.constantFrom('withhold' as const, 'release' as const, 'made' as const),
    offsets: fc.uniqueArray(fc.nat(BLOCKS - 1), { maxLength: 8 }),
    answers: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(BLOCKS - 1)),
      fc.array(change, { maxLength: 12 }),
      (withheld, changes) => {
        const it = start(withheld)
        it.handle(it.begin, true)
        const made = new Set<number>()
        for (const { kind, offsets, answers } of changes) {
          it.handle([{ kind, page: 0, offsets }], answers)
          if (kind === 'made') for (const offset of offsets) made.add(offset)
        }
        it.handle([{ kind: 'release', page: 0, offsets: all }, ...it.takeOwed()], true)
        const owed = it.asked.filter((offset) => !made.has(offset))
        assert.equal(new Set(owed).size, owed.length, 'nothing is asked for twice')
        for (const offset of all) assert.ok(made.has(offset) || it.asked.includes(offset), `${offset}`)
        it.handle([{ kind: 'made', page: 0, offsets: all }], true)
        assert.ok(it.isComplete())
      },
    ),
    { numRuns: 500 },
  )
})
