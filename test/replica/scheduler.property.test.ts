/** What always holds for the scheduler, whatever the order of events: checked over random ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createScheduler } from '../../src/replica/scheduler/scheduler.ts'
import { SURVEY_INTERVAL_MS } from '../../src/replica/scheduler/survey.ts'
import type { SchedulerCommand, SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import { KiB, page, peer, requestsOf, start } from './scheduler-events.ts'

/** What the outside does next: numbers are reduced to what there is. */
const step = fc.record({
  act: fc.constantFrom('answer', 'answer', 'answer', 'fail', 'tick', 'hold', 'leave', 'join', 'page'),
  which: fc.nat(),
  count: fc.integer({ min: 1, max: 12 }),
  reason: fc.constantFrom('missing', 'busy', 'broken', 'corrupt'),
  delayMs: fc.integer({ min: 0, max: 3000 }),
})

test('a plan that looks only at what has changed leaves out nothing that one of everything would ask for', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
      const scheduler = createScheduler({
        self: { site: 'me', region: 'west' },
        origin: { site: 'hq', region: 'east' },
        snapshotBytes: 90 * 64 * KiB,
        // Pipelines of a few blocks: most plans find some of them full.
        minPipelineBytes: 5 * 64 * KiB,
        maxPipelineBytes: 5 * 64 * KiB,
      })
      const places = new Map([
        ['hq', 'east'],
        ['relay', 'east'],
        ['near-1', 'west'],
        ['near-2', 'west'],
        ['far', 'north'],
      ])
      const names = [...places.keys()]
      const present = new Set<string>()
      const due = new Map<number, { page: number; offsets: Set<number> }>()
      let pages = 0
      let nowMs = 0
      let isBlamed = false
      const note = (commands: readonly SchedulerCommand[]): void => {
        for (const command of commands) {
          if (command.kind === 'request')
            due.set(command.request, { page: command.page, offsets: new Set(command.offsets) })
          else if (command.kind === 'cancel') due.delete(command.request)
          else if (command.kind === 'blame') isBlamed = true
        }
      }
      const give = (events: SchedulerEvent[]): void => {
        note(scheduler.handle([...events, { kind: 'tick' }], nowMs))
        // Leases that end at this very moment are seen when it looks around next, and it always does that so soon.
        nowMs += SURVEY_INTERVAL_MS
        note(scheduler.handle([{ kind: 'tick' }], nowMs))
        // Told again of a member that it knows, it looks at everything.
        const [name] = present
        if (name === undefined || isBlamed) return
        const again = scheduler.handle([peer(name, places.get(name)!, name !== 'hq')], nowMs)
        const missed = requestsOf(again).filter(({ reason }) => reason === 'near' || reason === 'owner')
        note(again)
        assert.deepEqual(missed, [])
      }
      for (const { act, which, count, reason, delayMs } of steps) {
        nowMs += delayMs / 20
        const name = names[which % names.length]!
        const [request, known] = [...due][which % Math.max(1, due.size)] ?? []
        if (act === 'page') {
          if (pages < 3) give([page(pages++, 30)])
        } else if (act === 'tick') give([])
        else if (act === 'leave') {
          present.delete(name)
          give([{ kind: 'peer-left', peer: name }])
        } else if (act === 'join') {
          present.add(name)
          give([
            peer(name, places.get(name)!, name !== 'hq'),
            {
              kind: 'holding',
              peer: name,
              update: name === 'hq' ? { kind: 'complete' } : { kind: 'pages', full: [] },
            },
          ])
        } else if (act === 'hold') {
          const offsets = Array.from({ length: count }, (_, i) => (which + i) % 30)
          give([{ kind: 'holding', peer: name, update: { kind: 'blocks', page: which % 3, offsets } }])
        } else if (request !== undefined && known !== undefined) {
          const offsets = [...known.offsets].slice(0, count)
          for (const offset of offsets) known.offsets.delete(offset)
          if (known.offsets.size === 0) due.delete(request)
          give(
            offsets.map((offset) =>
              act === 'answer'
                ? { kind: 'received', request, page: known.page, offset }
                : { kind: 'failed', request, page: known.page, offset, reason: reason as 'missing' },
            ),
          )
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('any order of answers, failures, arrivals and departures ends complete once an honest origin serves', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const pages = [20, 1, 33]
      const scheduler = start(54 * 64 * KiB)
      const held = new Set<string>()
      const due = new Map<number, { peer: string; page: number; offsets: Set<number>; reason: string }>()
      const blamed = new Set<string>()
      let given = 0
      let isComplete = false
      let nowMs = 0
      const give = (events: SchedulerEvent[]): void => {
        for (const command of scheduler.handle(events, nowMs)) {
          if (command.kind === 'request') {
            assert.ok(!blamed.has(command.peer), 'a blamed peer is not asked')
            for (const offset of command.offsets) {
              assert.ok(!held.has(`${command.page} ${offset}`), 'what is here is not asked for')
              const others = [...due.values()].filter(
                (request) => request.page === command.page && request.offsets.has(offset),
              )
              assert.ok(others.length === 0 || command.reason === 'end-game', 'one request for each block')
            }
            const { peer: to, page: number, offsets, reason } = command
            due.set(command.request, { peer: to, page: number, offsets: new Set(offsets), reason })
          } else if (command.kind === 'cancel') due.delete(command.request)
          else if (command.kind === 'blame') blamed.add(command.peer)
          else if (command.kind === 'complete') isComplete = true
          else if (command.kind === 'wake') assert.ok(command.atMs <= nowMs + 1000)
        }
      }
      const addPage = (): void => {
        if (given < pages.length) give([page(given, pages[given++]!)])
        else if (given++ === pages.length) give([{ kind: 'pages-end' }])
      }
      const answer = (request: number, offset: number): void => {
        const known = due.get(request)!
        known.offsets.delete(offset)
        if (known.offsets.size === 0) due.delete(request)
        held.add(`${known.page} ${offset}`)
        give([{ kind: 'received', request, page: known.page, offset }])
      }
      const names = ['hq', 'near-1', 'near-2']
      const join = (name: string): void => {
        give([peer(name, name === 'hq' ? 'east' : 'west', name !== 'hq')])
        if (name === 'hq') give([{ kind: 'holding', peer: 'hq', update: { kind: 'complete' } }])
      }
      for (const name of names) join(name)
      for (const { act, which, count, reason, delayMs } of steps) {
        nowMs += delayMs
        const [request, known] = [...due][which % Math.max(1, due.size)] ?? []
        if (act === 'page') addPage()
        else if (act === 'tick') give([{ kind: 'tick' }])
        else if (act === 'leave') give([{ kind: 'peer-left', peer: names[which % 3]! }])
        else if (act === 'join') join(names[which % 3]!)
        else if (act === 'hold') {
          const offsets = Array.from({ length: count }, (_, i) => (which + i) % 20)
          give([
            { kind: 'holding', peer: names[1 + (which % 2)]!, update: { kind: 'blocks', page: 0, offsets } },
          ])
        } else if (request !== undefined && known !== undefined) {
          for (const offset of [...known.offsets].slice(0, count)) {
            if (!due.has(request) || !known.offsets.has(offset)) continue
            if (act === 'answer') answer(request, offset)
            else if (reason !== 'corrupt' || known.peer !== 'hq') {
              known.offsets.delete(offset)
              if (known.offsets.size === 0) due.delete(request)
              give([{ kind: 'failed', request, page: known.page, offset, reason: reason as 'missing' }])
            }
          }
        }
      }
      // From here on everybody is gone but an origin that came back with everything.
      for (const name of names) give([{ kind: 'peer-left', peer: name }])
      while (given <= pages.length) addPage()
      join('hq')
      for (let turn = 0; turn < 500 && !isComplete; turn++) {
        nowMs += 100
        give([{ kind: 'tick' }])
        for (const [request, { offsets }] of [...due])
          for (const offset of [...offsets]) if (due.has(request)) answer(request, offset)
      }
      assert.ok(isComplete)
      assert.equal(held.size, 54)
    }),
    { numRuns: 300 },
  )
})
