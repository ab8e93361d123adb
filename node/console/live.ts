/**
 * What the page knows of the mesh, asked for again and again while somebody looks: the status document, and the rates of
 * the last hour that follow from two of them. A node that does not answer is asked more rarely, and the page says so.
 */
import type { StatusDocument } from '../../src/replica/status.ts'
import { getJson, Problem } from './api.ts'
import { createState } from './state.ts'

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  | { readonly state: 'reconnecting'; readonly why: string; readonly sinceMs: number }
  | { readonly state: 'signed-out' }

/** Bytes a second of this node with the others, by where they are. */
export interface RatePoint {
  readonly timeMs: number
  readonly farIn: number
  readonly farOut: number
  readonly nearIn: number
  readonly nearOut: number
}

export const status = createState<StatusDocument | undefined>(undefined)
export const connection = createState<Connection>({ state: 'connecting' })
export const rates = createState<readonly RatePoint[]>([])
/** Drawn anew with it: ages. */
export const now = createState(Date.now())

const PERIOD_MS = 2000
const MAX_PERIOD_MS = 15_000
/** Of the time that the document takes to come and be read: the page is to stay at the user's hands. */
const MAX_LOAD = 0.1
const KEPT_MS = 3_600_000
const MAX_POINTS = 1800

let timer: number | undefined
let failures = 0
let isAsking = false
let last: { readonly atMs: number; readonly document: StatusDocument } | undefined

export function startLive(): void {
  setInterval(() => now.set(Date.now()), 5000)
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) refresh()
  })
  refresh()
}

/** Now, not at the next turn: after a change that the user made. */
export function refresh(): void {
  clearTimeout(timer)
  void ask()
}

async function ask(): Promise<void> {
  if (isAsking) return
  isAsking = true
  const startedMs = performance.now()
  try {
    const found = await getJson<StatusDocument>('/api/v1/status')
    failures = 0
    noteRates(found)
    now.set(Date.now())
    status.set(found)
    connection.update((old) => (old.state === 'live' ? old : { state: 'live' }))
  } catch (error) {
    failures++
    const isOut = error instanceof Problem && (error.status === 401 || error.status === 403)
    const why = error instanceof Error ? error.message : String(error)
    connection.update((old) =>
      isOut
        ? { state: 'signed-out' }
        : { state: 'reconnecting', why, sinceMs: old.state === 'reconnecting' ? old.sinceMs : Date.now() },
    )
  } finally {
    isAsking = false
  }
  if (connection.get().state === 'signed-out') return
  const tookMs = performance.now() - startedMs
  const waitMs = Math.max(PERIOD_MS * 2 ** Math.min(failures, 3), tookMs / MAX_LOAD)
  // A page in the background asks nobody; it asks at once when it is seen again.
  if (!document.hidden) timer = window.setTimeout(refresh, Math.min(waitMs, MAX_PERIOD_MS))
}

function noteRates(found: StatusDocument): void {
  const atMs = performance.now()
  const before = last
  last = { atMs, document: found }
  if (before === undefined || before.document.self.peer !== found.self.peer) return
  const seconds = (atMs - before.atMs) / 1000
  const [a, b] = [before.document.traffic.classes, found.traffic.classes]
  const rate = (name: 'wan' | 'region' | 'site', key: 'bytesSent' | 'bytesReceived'): number =>
    // The node was restarted: it counts from zero.
    Math.max(0, b[name][key] - a[name][key]) / seconds
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
