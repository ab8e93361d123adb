/**
 * What the page knows of the mesh while somebody looks: the status document, kept up to date by the node's stream of
 * events, and the rates that follow from it. A stream that breaks off is taken up again, and the page says so meanwhile.
 */
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { applyDelta, type StatusDelta } from '../api/status-delta.ts'
import { getJson, Problem } from './api.ts'
import { followEvents, type StreamEvent } from './event-stream.ts'
import { createState } from './state.ts'
import { noteHeard } from './text.ts'

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  | { readonly state: 'reconnecting'; readonly why: string; readonly sinceMs: number }
  | { readonly state: 'signed-out' }

export interface Session {
  readonly scope: 'read' | 'operate' | 'admin'
  readonly token: { readonly id: string; readonly name: string } | null
  readonly expiresMs: number | null
  readonly isSession: boolean
}

/** Bytes a second of this node with the others, by where they are. */
export interface RatePoint {
  readonly timeMs: number
  readonly farIn: number
  readonly farOut: number
  readonly nearIn: number
  readonly nearOut: number
}

export const status = createState<StatusDocument | undefined>(undefined)
export const session = createState<Session | undefined>(undefined)
export const connection = createState<Connection>({ state: 'connecting' })
export const rates = createState<readonly RatePoint[]>([])
/** Drawn anew with it: ages. */
export const now = createState(Date.now())

const FIRST_WAIT_MS = 1000
const MAX_WAIT_MS = 15_000
const SAMPLE_MS = 2000
const KEPT_MS = 3_600_000
const MAX_POINTS = 1800

const listeners = new Map<string, Set<(data: never) => void>>()
const lastId = { value: '' }
let controller = new AbortController()
let failures = 0

export function startLive(): void {
  setInterval(() => now.set(Date.now()), 5000)
  setInterval(noteRates, SAMPLE_MS)
  reconnect()
}

/** At once, whatever was being waited for. */
export function reconnect(): void {
  controller.abort()
  controller = new AbortController()
  void follow(controller.signal)
}

/** Told of each event of a kind while the stream lasts. Returns the function that ends it. */
export function onEvent<T>(kind: string, listener: (data: T) => void): () => void {
  const those = listeners.get(kind) ?? new Set()
  listeners.set(kind, those)
  those.add(listener)
  return () => those.delete(listener)
}

async function follow(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      session.set(await getJson<Session>('/api/v1/session', signal))
      await followEvents('/api/v1/events', {
        lastId,
        signal,
        onOpen: () => void opened(signal),
        onEvent: take,
      })
    } catch (error) {
      if (signal.aborted) return
      failed(error)
      if (connection.get().state === 'signed-out') return
    }
    await new Promise((resolve) => {
      setTimeout(resolve, Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 4)))
    })
  }
}

function failed(error: unknown): void {
  failures++
  const isOut = error instanceof Problem && error.status === 401
  const why = error instanceof Error ? error.message : String(error)
  if (isOut) lastId.value = ''
  connection.update((old) =>
    isOut
      ? { state: 'signed-out' }
      : { state: 'reconnecting', why, sinceMs: old.state === 'reconnecting' ? old.sinceMs : Date.now() },
  )
}

/** Deltas that came while the whole document was on its way: applied again, to whatever arrives. */
let early: StatusDelta[] | undefined

async function opened(signal: AbortSignal): Promise<void> {
  if (status.get() === undefined) await readWhole(signal)
  if (signal.aborted) return
  failures = 0
  now.set(Date.now())
  connection.update((old) => (old.state === 'live' ? old : { state: 'live' }))
}

async function readWhole(signal?: AbortSignal): Promise<void> {
  early ??= []
  try {
    let found = await getJson<StatusDocument>('/api/v1/status', signal)
    for (const delta of early) found = applyDelta(found, delta)
    accept(found)
  } catch {
    // Without it no delta means anything: from the start again, unless this very thing is going on.
    if (signal?.aborted !== true) setTimeout(reconnect, FIRST_WAIT_MS)
  } finally {
    early = undefined
  }
}

function take({ kind, data }: StreamEvent): void {
  // What was missed is gone: the document is read anew. At the start it is read in any case.
  if (kind === 'reset' || (kind === 'open' && status.get() !== undefined)) void readWhole()
  if (kind === 'status') {
    const delta = data as StatusDelta
    early?.push(delta)
    const old = status.get()
    if (old !== undefined) accept(applyDelta(old, delta))
  }
  if (kind === 'alarm') void readWhole()
  for (const listener of listeners.get(kind) ?? []) listener(data as never)
}

function accept(found: StatusDocument): void {
  noteHeard(found.sites, Date.now())
  now.set(Date.now())
  status.set(found)
}

let last: { readonly atMs: number; readonly peer: string; readonly classes: Classes } | undefined
type Classes = StatusDocument['traffic']['classes']

function noteRates(): void {
  const found = status.get()
  if (found === undefined || connection.get().state !== 'live') return
  const atMs = performance.now()
  const before = last
  last = { atMs, peer: found.self.peer, classes: found.traffic.classes }
  if (before === undefined || before.peer !== found.self.peer) return
  const seconds = (atMs - before.atMs) / 1000
  // A timer that a sleeping tab held back says nothing of the time between.
  if (seconds > 5 * (SAMPLE_MS / 1000)) return
  const rate = (name: keyof Classes, key: 'bytesSent' | 'bytesReceived'): number =>
    // The node was restarted: it counts from zero.
    Math.max(0, found.traffic.classes[name][key] - before.classes[name][key]) / seconds
  const timeMs = Date.now()
  const point = {
    timeMs,
    farIn: rate('wan', 'bytesReceived'),
    farOut: rate('wan', 'bytesSent'),
    nearIn: rate('region', 'bytesReceived') + rate('site', 'bytesReceived'),
    nearOut: rate('region', 'bytesSent') + rate('site', 'bytesSent'),
  }
  rates.update((old) => [...old.filter((each) => each.timeMs > timeMs - KEPT_MS), point].slice(-MAX_POINTS))
}
