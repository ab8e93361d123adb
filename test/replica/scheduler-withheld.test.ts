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

const FAR = 'hq'
const NEAR = 'lab'

function places(): SchedulerEvent[] {
  return [
    [FAR, 'east'],
    [NEAR, 'west'],
  ].map(([peer, region]) => ({
    ...{ kind: 'peer', peer: peer!, place: { site: peer!, region: region! } },
    ...{ wants: false, isConnected: true },
  }))
}

test('what is withheld from far peers alone is asked of near ones, as they come to have it and as long as they do', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constantFrom('withhold' as const, 'release' as const),
      offsets: fc.uniqueArray(fc.nat(BLOCKS - 1), { maxLength: 8 }),
      from: fc.constantFrom('far' as const, undefined),
    }),
    fc.record({
      kind: fc.constant('has' as const),
      offsets: fc.uniqueArray(fc.nat(BLOCKS - 1), { maxLength: 8 }),
    }),
    fc.record({ kind: fc.constant('near' as const), isConnected: fc.boolean() }),
    fc.record({
      kind: fc.constant('answer' as const),
      reason: fc.constantFrom('missing' as const, 'broken' as const, undefined),
    }),
  )
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(BLOCKS - 1)),
      fc.array(step, { maxLength: 30 }),
      (withheldFromFar, steps) => {
        const scheduler = createScheduler({
          self: { site: 'me', region: 'west' },
          snapshotBytes: BLOCKS * LENGTH,
        })
        const left = new Set(withheldFromFar)
        const withheld = new Set<number>()
        /** Asked, and not answered. */
        const owed = new Map<number, { peer: string; request: number }>()
        const stored = new Set<number>()
        let isComplete = false
        let nowMs = 0
        const handle = (events: readonly SchedulerEvent[]): void => {
          nowMs += 250
          for (const command of scheduler.handle(events, nowMs)) {
            if (command.kind === 'complete') isComplete = true
            if (command.kind === 'cancel')
              for (const [offset, { request }] of owed) if (request === command.request) owed.delete(offset)
            if (command.kind !== 'request') continue
            const { peer, request } = command
            for (const offset of command.offsets) {
              assert.ok(!stored.has(offset) && !withheld.has(offset), `${offset} of ${peer}`)
              assert.ok(peer === NEAR || !left.has(offset), `${offset} is asked of ${peer}`)
              owed.set(offset, { peer, request })
            }
          }
        }
        const answer = (reason: 'missing' | 'broken' | undefined): void => {
          const events = [...owed].map(([offset, { peer, request }]): SchedulerEvent => {
            const of = { request, page: 0, offset }
            if (reason !== undefined)
              return { kind: 'failed', ...of, reason: peer === NEAR ? reason : 'broken' }
            stored.add(offset)
            return { kind: 'received', ...of }
          })
          owed.clear()
          handle(events)
        }
        const page = { kind: 'page', page: 0, key: new Uint8Array(32).fill(7), withheldFromFar } as const
        handle([
          ...places(),
          { kind: 'holding', peer: FAR, update: { kind: 'complete' } },
          { kind: 'holding', peer: NEAR, update: { kind: 'unknown' } },
          { ...page, lengths: all.map(() => LENGTH), has: all.map(() => false) },
          { kind: 'pages-end' },
        ])
        for (const each of steps) {
          if (each.kind === 'answer') answer(each.reason)
          else if (each.kind === 'near') {
            const { isConnected } = each
            handle([{ ...(places()[1] as Extract<SchedulerEvent, { kind: 'peer' }>), isConnected }])
          } else if (each.kind === 'has') {
            handle([
              { kind: 'holding', peer: NEAR, update: { kind: 'blocks', page: 0, offsets: each.offsets } },
            ])
          } else {
            const { kind, offsets, from } = each
            // What is asked for already is not called back.
            const open = offsets.filter(
              (offset) => kind === 'release' || scheduler.stateOf(0, offset) === 'open',
            )
            const marked = from === 'far' ? left : withheld
            for (const offset of open) kind === 'release' ? marked.delete(offset) : marked.add(offset)
            handle([{ kind, page: 0, offsets, ...(from === undefined ? {} : { from }) }])
          }
        }
        left.clear()
        withheld.clear()
        handle([
          { kind: 'release', page: 0, offsets: all },
          { kind: 'release', page: 0, offsets: all, from: 'far' },
        ])
        // A peer that broke off now and then is left alone for half a minute at most.
        for (let turn = 0; turn < 500 && !isComplete; turn++) answer(undefined)
        assert.ok(isComplete, `${stored.size} of ${BLOCKS}`)
      },
    ),
    { numRuns: 500 },
  )
})
