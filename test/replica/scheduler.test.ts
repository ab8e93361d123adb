/** What the scheduler asks for, of whom and when, event by event. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPathShares } from '../../src/replica/scheduler/path-shares.ts'
import { createScheduler } from '../../src/replica/scheduler/scheduler.ts'
import type { SchedulerCommand, SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import { KiB, page, peer, requestsOf, start } from './scheduler-events.ts'

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

test('what other traffic on the path has is said to be the limit, of the peer whose path it is', () => {
  const scheduler = createScheduler({
    self: { site: 'me', region: 'west' },
    snapshotBytes: 64 * 64 * KiB,
    paths: createPathShares((peer) => (peer === 'hq' ? 38.4 : undefined)),
  })
  scheduler.handle(
    [
      peer('hq', 'east'),
      peer('other', 'east'),
      { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
      { kind: 'holding', peer: 'other', update: { kind: 'complete' } },
      page(0, 64),
      { kind: 'pages-end' },
    ],
    0,
  )
  const [hq, other] = scheduler.explain(0).peers
  assert.equal(hq?.state, 'in use; other traffic on the path is the limit, 38 ms of queue')
  assert.equal(hq.othersQueueMs, 38)
  assert.equal(other?.othersQueueMs, undefined)
  assert.doesNotMatch(other!.state, /other traffic/)
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

test('a neighbour that is late with an answer keeps its share for as long as it tells of new blocks', () => {
  const blocks = 64
  const scheduler = start(blocks * 8 * KiB)
  const asked = new Map<string, number>()
  const step = (events: readonly SchedulerEvent[], nowMs: number): void => {
    for (const { peer: of, offsets } of requestsOf(scheduler.handle(events, nowMs))) {
      asked.set(of, (asked.get(of) ?? 0) + offsets.length)
    }
  }
  step(
    [
      peer('hq', 'east', false),
      peer('busy', 'west'),
      { kind: 'holding', peer: 'hq', update: { kind: 'complete' } },
      { kind: 'holding', peer: 'busy', update: { kind: 'pages', full: [] } },
      page(0, blocks, 8 * KiB),
      { kind: 'pages-end' },
    ],
    0,
  )
  const own = asked.get('hq')!
  assert.ok(own > blocks / 4 && own < (3 * blocks) / 4, `${own} blocks are this site's share`)
  const others = scheduler.explain(0).segments.filter(({ owner }) => owner === 'busy')
  const news = others.map(({ firstBlock }) => firstBlock)
  // One by one it tells of its own; what is asked of it does not come, and is given up once.
  let wasStalled = false
  for (let nowMs = 500; nowMs <= 4500; nowMs += 500) {
    const offset = news.shift()!
    step([{ kind: 'holding', peer: 'busy', update: { kind: 'blocks', page: 0, offsets: [offset] } }], nowMs)
    step([{ kind: 'tick' }], nowMs + 100)
    const { state } = scheduler.explain(nowMs + 100).peers.find(({ site }) => site === 'busy')!
    wasStalled ||= state.startsWith('stalled')
  }
  assert.ok(asked.get('busy')! > 0)
  assert.ok(wasStalled)
  assert.equal(asked.get('hq'), own, 'nothing of its share was asked for elsewhere')
})
