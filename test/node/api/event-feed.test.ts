import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEventFeed, EVENT_KINDS, type EventKind } from '../../../node/api/event-feed.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'

const ALL: ReadonlySet<EventKind> = new Set(EVENT_KINDS)

function watch() {
  const got = { text: '', cut: undefined as string | undefined, waiting: 0 }
  const sink = {
    waitingBytes: () => got.waiting,
    write(text: string) {
      got.text += text
    },
    cut(reason: string) {
      got.cut = reason
    },
  }
  const events = () =>
    [...got.text.matchAll(/event: (\w+)\ndata: (.*)\n/g)].map(([, kind, data]) => `${kind} ${data}`)
  const lastId = () => [...got.text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1]
  return { sink, got, events, lastId }
}

function makeFeed(options: Parameters<typeof createEventFeed>[1] = {}) {
  const clock = new VirtualClock(0)
  const source = { starts: 0, ends: 0, emit: (_kind: EventKind, _data: object): void => undefined }
  const feed = createEventFeed(
    {
      clock,
      sources: [
        (emit) => {
          source.starts++
          source.emit = emit
          return () => {
            source.ends++
          }
        },
      ],
    },
    options,
  )
  return { clock, source, feed }
}

test('a client that comes back gets what it missed, once and in order', () => {
  const { clock, source, feed } = makeFeed()
  const first = watch()
  const close = feed.open(first.sink, { after: undefined, kinds: ALL })
  source.emit('record', { n: 1 })
  const id = first.lastId()
  close()
  source.emit('record', { n: 2 })
  source.emit('job', { n: 3 })
  clock.advanceTo(60_000)
  const again = watch()
  feed.open(again.sink, { after: id, kinds: ALL })
  source.emit('alarm', { n: 4 })
  assert.deepEqual(again.events(), ['record {"n":2}', 'job {"n":3}', 'alarm {"n":4}'])
  const few = watch()
  feed.open(few.sink, { after: id, kinds: new Set(['job']) })
  source.emit('record', { n: 5 })
  assert.deepEqual(few.events(), ['job {"n":3}'])
  assert.equal(source.starts, 1)
})

test('a client that was away too long, or comes from another run, is told to read anew', () => {
  const { clock, source, feed } = makeFeed({ maxKept: 2, lingerMs: 1000 })
  const first = watch()
  const close = feed.open(first.sink, { after: undefined, kinds: ALL })
  source.emit('record', { n: 0 })
  const id = first.lastId()
  for (let n = 1; n <= 3; n++) source.emit('record', { n })
  const kinds = ALL
  for (const after of [id, '00000000-1', `${first.lastId()}9`, 'x', '']) {
    const late = watch()
    feed.open(late.sink, { after, kinds })()
    assert.match(late.events()[0] ?? '', /^reset /, after)
  }
  const inTime = watch()
  feed.open(inTime.sink, { after: first.lastId(), kinds })()
  assert.deepEqual(inTime.events(), [])
  close()
  clock.advanceTo(2000)
  assert.equal(source.ends, 1)
  const late = watch()
  feed.open(late.sink, { after: first.lastId(), kinds })
  assert.match(late.events()[0] ?? '', /^reset /)
  assert.equal(source.starts, 2)
})

test('a slow client is cut off, others go on; so many may watch and no more; quiet streams beat', () => {
  const { clock, source, feed } = makeFeed({ maxClients: 2, maxWaitingBytes: 100, heartbeatMs: 1000 })
  const [slow, quick, third] = [watch(), watch(), watch()]
  feed.open(slow.sink, { after: undefined, kinds: ALL })
  feed.open(quick.sink, { after: undefined, kinds: ALL })
  assert.throws(() => feed.open(third.sink, { after: undefined, kinds: ALL }), { code: 'busy' })
  assert.equal(third.got.text, '')
  slow.got.waiting = 101
  source.emit('record', { n: 1 })
  assert.ok(slow.got.cut !== undefined && quick.got.cut === undefined)
  assert.deepEqual(quick.events().slice(1), ['record {"n":1}'])
  assert.equal(feed.clients(), 1)
  clock.advanceTo(1000)
  assert.match(quick.got.text, /^: beat$/m)
  feed.stop()
  assert.ok(quick.got.cut !== undefined)
  assert.equal(source.ends, 1)
})

test('what is kept is bounded by its bytes', () => {
  const { source, feed } = makeFeed({ maxKeptBytes: 1000, maxWaitingBytes: 10_000 })
  const client = watch()
  feed.open(client.sink, { after: undefined, kinds: ALL })
  source.emit('record', { n: 0 })
  const id = client.lastId()
  source.emit('record', { text: 'x'.repeat(400) })
  source.emit('record', { text: 'x'.repeat(900) })
  const late = watch()
  feed.open(late.sink, { after: id, kinds: ALL })
  assert.match(late.events()[0] ?? '', /^reset /)
})
