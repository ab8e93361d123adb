/**
 * The one stream of what happens at this node and, as far as it hears, in the mesh: records that came, changes of the
 * status, jobs, fetches, alarms. Numbered, and kept for a while, so that a client whose connection broke goes on where it was.
 *
 * Nothing is gathered while nobody watches; it goes on for some time after the last one left. A client that was away for
 * longer, or comes from another run of the daemon, is told `reset`: it reads the documents anew.
 *
 * Bounded: events kept and their bytes, clients, and what waits for each of them: a slow client is cut off, and comes
 * back by itself. What the status costs decides how often it is looked at.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'

export const EVENT_KINDS = ['record', 'records', 'status', 'job', 'fetch', 'alarm'] as const
export type EventKind = (typeof EVENT_KINDS)[number]

/** Begins to gather, and tells by `emit` until the function that it returns is called. */
export type EventSource = (emit: (kind: EventKind, data: object) => void) => () => void

/** Where the text of a client's stream goes. */
export interface EventSink {
  /** Bytes that wait to be sent. */
  waitingBytes(): number
  write(text: string): void
  /** The connection is closed, in mid-stream. */
  cut(reason: string): void
}

export interface EventFeed {
  /**
   * Ids of events are `RUN-NUMBER`. Returns the function that ends it.
   * @throws MirrorError `busy` when there are too many clients
   */
  open(sink: EventSink, asked: { after: string | undefined; kinds: ReadonlySet<EventKind> }): () => void
  clients(): number
  stop(): void
}

interface Kept {
  readonly number: number
  readonly kind: EventKind
  readonly text: string
}

export function createEventFeed(
  { clock, sources }: { readonly clock: Clock; readonly sources: readonly EventSource[] },
  {
    maxClients = 64,
    maxKept = 4096,
    maxKeptBytes = 8 * 1024 * 1024,
    maxWaitingBytes = 1024 * 1024,
    heartbeatMs = 15_000,
    lingerMs = 120_000,
  } = {},
): EventFeed {
  const run = randomBytes(4).toString('hex')
  const clients = new Map<EventSink, ReadonlySet<EventKind>>()
  const kept: Kept[] = []
  let keptBytes = 0
  let last = 0
  let endSources: (() => void) | undefined
  let cancelLinger = (): void => undefined

  function emit(kind: EventKind, data: object): void {
    const number = ++last
    const text = `id: ${run}-${number}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`
    kept.push({ number, kind, text })
    keptBytes += text.length
    while (kept.length > maxKept || (keptBytes > maxKeptBytes && kept.length > 1)) {
      keptBytes -= kept.shift()!.text.length
    }
    for (const [sink, kinds] of clients) if (kinds.has(kind)) send(sink, text)
  }

  function send(sink: EventSink, text: string): void {
    if (sink.waitingBytes() > maxWaitingBytes) {
      clients.delete(sink)
      sink.cut('it reads more slowly than things happen')
      if (clients.size === 0) linger()
    } else sink.write(text)
  }

  function begin(): void {
    cancelLinger()
    if (endSources !== undefined) return
    // What happened while nobody watched is not here: nobody may go on from before.
    last++
    const ends = sources.map((source) => source(emit))
    endSources = () => {
      for (const end of ends) end()
    }
  }

  function linger(): void {
    cancelLinger()
    cancelLinger = clock.after(lingerMs, end)
  }

  function end(): void {
    cancelLinger()
    endSources?.()
    endSources = undefined
    kept.length = 0
    keptBytes = 0
  }

  /** Those after `id`; undefined when some of them are gone or were never here, or when they are too many to send at once. */
  function since(id: string): Kept[] | undefined {
    const [, of, text] = /^([0-9a-f]{8})-(\d{1,15})$/.exec(id) ?? []
    const number = Number(text)
    const first = kept[0]?.number ?? last + 1
    if (of !== run || number > last || number + 1 < first) return undefined
    const missed = kept.slice(number + 1 - first)
    return missed.reduce((sum, { text }) => sum + text.length, 0) > maxWaitingBytes ? undefined : missed
  }

  function beat(): void {
    cancelBeat = clock.after(heartbeatMs, beat)
    for (const sink of [...clients.keys()]) send(sink, ': beat\n\n')
  }
  let cancelBeat = (): void => undefined

  return {
    open(sink, { after, kinds }) {
      if (clients.size >= maxClients) {
        throw new MirrorError('busy', `${clients.size} clients watch this node, which is the limit`, {
          hint: 'Close a console, or read /api/v1/status now and then instead.',
        })
      }
      if (clients.size === 0) {
        cancelBeat()
        cancelBeat = clock.after(heartbeatMs, beat)
      }
      // Asked before `begin`, which makes a gap after a pause.
      const missed = after === undefined || endSources === undefined ? undefined : since(after)
      begin()
      clients.set(sink, kinds)
      sink.write('retry: 2000\n\n')
      if (missed === undefined) {
        const event = after === undefined ? 'open' : 'reset'
        sink.write(`id: ${run}-${last}\nevent: ${event}\ndata: {"id":"${run}-${last}"}\n\n`)
      }
      for (const { kind, text } of missed ?? []) if (kinds.has(kind)) sink.write(text)
      return () => {
        if (!clients.delete(sink) || clients.size > 0) return
        cancelBeat()
        linger()
      }
    },
    clients: () => clients.size,
    stop() {
      cancelBeat()
      end()
      for (const sink of clients.keys()) sink.cut('the daemon is stopping')
      clients.clear()
    },
  }
}
