/** What always holds for the scheduler, whatever the order of events: checked over random ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Scheduler } from '../../src/replica/scheduler/scheduler.ts'
import { createScheduler } from '../../src/replica/scheduler/scheduler.ts'
import type { SchedulerCommand, SchedulerEvent } from '../../src/replica/scheduler/types.ts'

const KiB = 1024
const key = new Uint8Array(32).fill(7)

function peer(name: string, region: string, wants = true, isConnected = true): SchedulerEvent {
  return { kind: 'peer', peer: name, place: { site: name, region }, wants, isConnected }
}

function page(number: number, blocks: number, lengthBytes = 64 * KiB): SchedulerEvent {
  const lengths = Array.from({ length: blocks }, () => lengthBytes)
  return { kind: 'page', page: number, key, lengths, has: lengths.map(() => false) }
}

function start(snapshotBytes: number): Scheduler {
  return createScheduler({ self: { site: 'me', region: 'west' }, snapshotBytes })
}

const requestsOf = (commands: readonly SchedulerCommand[]) =>
  commands.filter((command) => command.kind === 'request')

test('nothing is asked over the WAN before the neighbours said what they hold, or their grace is over', () => {
  const scheduler = start(16 * 64 * KiB)
  const begin: SchedulerEvent[] = [
    peer('hq', 'east', false),
    peer('near', 'west'),
    { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
    page(0, 16),
    { kind: 'pages-end' },
  ]
  assert.deepEqual(requestsOf(scheduler.handle(begin, 0)), [])
  assert.deepEqual(requestsOf(scheduler.handle([{ kind: 'tick' }], 900)), [])
  const offsets = requestsOf(scheduler.handle([{ kind: 'tick' }], 1001)).flatMap((request) => request.offsets)
  assert.ok(offsets.length >= 6 && offsets.length <= 10, `half of them, not ${offsets.length}`)
})

test('a neighbour that is expected but not connected is waited for once, not each time it comes and goes', () => {
  const scheduler = start(8 * 64 * KiB)
  scheduler.handle(
    [
      peer('hq', 'east', false),
      { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
      peer('near', 'west', true, false),
      page(0, 8),
      { kind: 'pages-end' },
    ],
    0,
  )
  let asked = 0
  for (let nowMs = 250; nowMs < 4000; nowMs += 250)
    asked += requestsOf(scheduler.handle([peer('near', 'west', true, nowMs % 500 === 0)], nowMs)).flatMap(
      (request) => request.offsets,
    ).length
  assert.ok(asked >= 4, `${asked} blocks asked for`)
})

test('what a neighbour holds is never asked for over the WAN', () => {
  const scheduler = start(8 * 64 * KiB)
  const commands = scheduler.handle(
    [
      peer('hq', 'east', false),
      peer('near', 'west'),
      { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
      { kind: 'holding', peer: 'near', update: { kind: 'blocks', page: 0, offsets: [0, 1, 2, 3, 4, 5] } },
      page(0, 8),
      { kind: 'pages-end' },
    ],
    0,
  )
  for (const request of requestsOf(commands)) {
    const isNear = request.offsets.every((offset) => offset < 6)
    assert.equal(request.peer, isNear ? 'near' : 'hq')
    assert.equal(request.reason, isNear ? 'near' : 'owner')
  }
})

test('wrong bytes: the peer is blamed, its requests are cancelled, and it may not come back', () => {
  const scheduler = start(4 * 64 * KiB)
  const asked = requestsOf(
    scheduler.handle(
      [
        peer('near', 'west', false),
        { kind: 'holding', peer: 'near', update: { kind: 'complete' } },
        page(0, 4),
        { kind: 'pages-end' },
      ],
      0,
    ),
  )
  const { request } = asked[0]!
  const commands = scheduler.handle([{ kind: 'failed', request, page: 0, offset: 0, reason: 'corrupt' }], 10)
  assert.deepEqual(
    commands.filter(({ kind }) => kind !== 'wake'),
    [
      { kind: 'blame', peer: 'near', page: 0, offset: 0 },
      { kind: 'cancel', request },
    ],
  )
  const back: SchedulerEvent[] = [
    peer('near', 'west', false),
    { kind: 'holding', peer: 'near', update: { kind: 'complete' } },
  ]
  assert.deepEqual(requestsOf(scheduler.handle(back, 20)), [])
})

test('a neighbour that promises everything and drips does not set the pace', () => {
  const blocks = 4000
  const scheduler = start(blocks * 16 * KiB)
  const open = new Map<number, { peer: string; page: number; due: number[] }>()
  let doneMs: number | undefined
  let nowMs = 0
  const take = (commands: readonly SchedulerCommand[]): void => {
    for (const command of commands) {
      if (command.kind === 'request') {
        open.set(command.request, { peer: command.peer, page: command.page, due: [...command.offsets] })
      } else if (command.kind === 'cancel') open.delete(command.request)
      else if (command.kind === 'complete') doneMs = nowMs
    }
  }
  take(
    scheduler.handle(
      [
        peer('hq', 'east', false),
        peer('drip', 'west'),
        { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
        { kind: 'holding', peer: 'drip', update: { kind: 'complete' } },
        page(0, blocks, 16 * KiB),
        { kind: 'pages-end' },
      ],
      nowMs,
    ),
  )
  while (doneMs === undefined && nowMs < 300_000) {
    nowMs += 500
    const events: SchedulerEvent[] = [{ kind: 'tick' }]
    for (const [request, { peer: from, page: number, due }] of [...open]) {
      // The origin delivers all of it; the other one block each 1.5 s, which is never quite a stall.
      const isDripping = from === 'drip'
      if (isDripping && nowMs % 1500 !== 0) continue
      const offsets = due.splice(0, isDripping ? 1 : due.length)
      for (const offset of offsets) events.push({ kind: 'received', request, page: number, offset })
      if (due.length === 0) open.delete(request)
      if (isDripping) break
    }
    take(scheduler.handle(events, nowMs))
  }
  assert.ok(doneMs !== undefined && doneMs < 60_000, `done after ${doneMs} ms`)
})

test('an owner that announces and announces, and nothing that is waited for, loses its share', () => {
  const blocks = 64
  const scheduler = start(blocks * 64 * KiB)
  const missing = new Set(Array.from({ length: blocks }, (_, i) => i))
  let nowMs = 0
  let isComplete = false
  let waiting: SchedulerEvent[] = []
  const step = (events: readonly SchedulerEvent[]): void => {
    for (const command of scheduler.handle(events, nowMs)) {
      if (command.kind === 'complete') isComplete = true
      if (command.kind !== 'request') continue
      for (const offset of command.offsets) {
        missing.delete(offset)
        waiting.push({ kind: 'received', request: command.request, page: 0, offset })
      }
    }
  }
  step([
    peer('hq', 'east', false),
    peer('hoarder', 'west'),
    { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
    { kind: 'holding', peer: 'hoarder', update: { kind: 'pages', full: [] } },
    page(0, blocks),
    { kind: 'pages-end' },
  ])
  assert.ok(missing.size > 0, 'it has a share')
  while (!isComplete && nowMs < 300_000) {
    nowMs += 1000
    const events = waiting
    waiting = []
    // Always something new, and never of the page that is fetched.
    const update = { kind: 'blocks', page: 1 + (nowMs % 7), offsets: [nowMs % 1000] } as const
    step([...events, { kind: 'holding', peer: 'hoarder', update }, { kind: 'tick' }])
  }
  assert.ok(isComplete && nowMs < 60_000, `${missing.size} blocks are waited for after ${nowMs} ms`)
})

test('a peer that claims absurd pages and offsets costs no memory', () => {
  const scheduler = start(4 * 64 * KiB)
  scheduler.handle([peer('near', 'west'), page(0, 4)], 0)
  const before = process.memoryUsage().arrayBuffers
  for (let i = 1; i <= 64; i++) {
    const number = 2 ** 32 - i
    const updates: SchedulerEvent[] = [
      { kind: 'holding', peer: 'near', update: { kind: 'pages', full: [number] } },
      { kind: 'holding', peer: 'near', update: { kind: 'blocks', page: number, offsets: [number] } },
    ]
    assert.deepEqual(requestsOf(scheduler.handle(updates, i)), [])
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * KiB)
})

test('every segment that waits can be explained', () => {
  const scheduler = start(64 * 64 * KiB)
  scheduler.handle(
    [
      peer('hq', 'east', false),
      peer('near', 'west'),
      { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
      { kind: 'holding', peer: 'near', update: { kind: 'pages', full: [] } },
      page(0, 64),
      { kind: 'pages-end' },
    ],
    0,
  )
  const { segments, peers, requestedBlocks } = scheduler.explain(0)
  assert.equal(segments.length, 64)
  for (const { owner, state } of segments)
    assert.match(state, owner === 'me' ? /asked for|takes it over the WAN/ : /^waits for near/)
  assert.deepEqual(
    peers.map(({ site, path, holds }) => [site, path, holds]),
    [
      ['hq', 'far', 'complete'],
      ['near', 'near', 'part'],
    ],
  )
  assert.ok(requestedBlocks.owner > 0)
  for (const { askedOf, state } of segments)
    if (state === 'asked for') assert.deepEqual(askedOf, [{ site: 'hq', reason: 'owner' }])
})

test('outside of its entry region a segment waits, and says for whom', () => {
  const scheduler = createScheduler({
    self: { site: 'me', region: 'west' },
    origin: { site: 'hq', region: 'east' },
    snapshotBytes: 64 * 64 * KiB,
  })
  const commands = scheduler.handle(
    [
      peer('hq', 'east', false),
      peer('far', 'north'),
      { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
      { kind: 'holding', peer: 'far', update: { kind: 'pages', full: [] } },
      page(0, 64),
      { kind: 'pages-end' },
    ],
    0,
  )
  const { segments, peers } = scheduler.explain(0)
  assert.deepEqual(
    peers.map(({ site, tier }) => [site, tier]),
    [
      ['hq', 3],
      ['far', 1],
    ],
  )
  const asked = new Set(requestsOf(commands).flatMap(({ offsets }) => offsets))
  assert.ok(asked.size > 0)
  for (const { entry, firstBlock, state } of segments) {
    if (asked.has(firstBlock)) assert.equal(entry, 'west')
    if (entry === 'north') assert.equal(state, 'waits for region north, which takes it first')
  }
  const [first] = segments.filter(({ entry }) => entry === 'north')
  const held = { kind: 'blocks', page: 0, offsets: [first!.firstBlock] } as const
  const next = scheduler.handle([{ kind: 'holding', peer: 'far', update: held }, { kind: 'tick' }], 20)
  assert.deepEqual(
    requestsOf(next).map(({ peer: from, offsets }) => [from, offsets]),
    [['far', [first!.firstBlock]]],
  )
})

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
