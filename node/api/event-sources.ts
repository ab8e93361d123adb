/** What the stream of events is made of. Each source works only while somebody watches. */
import type { Alarm } from '../../src/replica/status/status.ts'
import type { EventSource } from './event-feed.ts'
import type { JobDocument } from './jobs/job-document.ts'
import { summaryOf } from './routes/fetch-routes.ts'
import { recordDocument } from './routes/member-routes.ts'
import type { Services } from './services.ts'
import { statusDelta } from './status-delta.ts'

/** The status, fetches and progress of jobs are told at most this often. */
const TICK_MS = 1_000
/** Something may change without a word: a site falls silent. */
const LOOK_MS = 5_000
/** At most this share of the time goes into looking at the status. */
const MAX_SHARE = 0.05
/** More records at once (a join, a long absence) are told by their number. */
const MAX_RECORDS = 100

export function eventSources(services: Services): EventSource[] {
  return [recordSource(services), statusSource(services), jobSource(services), fetchSource(services)]
}

function recordSource(services: Services): EventSource {
  return (emit) =>
    services.ledger.subscribe(({ records }) => {
      if (records.length > MAX_RECORDS) emit('records', { count: records.length })
      else for (const record of records) emit('record', recordDocument(services, record))
    })
}

/** Changes of the status, and of its alarms on their own. */
function statusSource({ clock, readStatus, onStatusChange }: Services): EventSource {
  return (emit) => {
    let shown = readStatus()
    let isDirty = false
    let nextMs = TICK_MS
    let sinceLookMs = 0
    const tick = (): void => {
      sinceLookMs += nextMs
      if (isDirty || sinceLookMs >= LOOK_MS) {
        isDirty = false
        sinceLookMs = 0
        const startedMs = clock.monotonicMs()
        const now = readStatus()
        const delta = statusDelta(shown, now)
        if (delta !== undefined) emit('status', delta)
        for (const alarm of without(now.alarms, shown.alarms)) emit('alarm', { isRaised: true, ...alarm })
        for (const alarm of without(shown.alarms, now.alarms)) emit('alarm', { isRaised: false, ...alarm })
        shown = now
        nextMs = Math.max(TICK_MS, (clock.monotonicMs() - startedMs) / MAX_SHARE)
      }
      cancel = clock.after(nextMs, tick)
    }
    let cancel = clock.after(TICK_MS, tick)
    const end = onStatusChange(() => {
      isDirty = true
    })
    return () => {
      end()
      cancel()
    }
  }
}

function without(alarms: readonly Alarm[], others: readonly Alarm[]): Alarm[] {
  const keyOf = ({ kind, subject }: Alarm): string => `${kind}\n${subject}`
  const known = new Set(others.map(keyOf))
  return alarms.filter((alarm) => !known.has(keyOf(alarm)))
}

/**
 * Each start and end, and progress now and then. What a job ended with is at /api/v1/jobs/ID, for those who may operate the node:
 * it may name files of private trees.
 */
function jobSource({ clock, jobs }: Services): EventSource {
  return (emit) => {
    const waiting = new Map<string, JobDocument>()
    let cancel = (): void => undefined
    const tell = ({ result: _, problem: __, ...job }: JobDocument): void => emit('job', job)
    const flush = (): void => {
      cancel = (): void => undefined
      for (const job of waiting.values()) tell(job)
      waiting.clear()
    }
    const end = jobs.onChange((job) => {
      if (job.state !== 'running' || job.progress === undefined) {
        waiting.delete(job.id)
        tell(job)
        return
      }
      if (waiting.size === 0) {
        cancel()
        cancel = clock.after(TICK_MS, flush)
      }
      waiting.set(job.id, job)
    })
    return () => {
      end()
      cancel()
    }
  }
}

/** Summaries of those that changed; one that has ended says so once. */
function fetchSource({ clock, readFetches }: Services): EventSource {
  return (emit) => {
    let shown = new Map<string, string>()
    const tick = (): void => {
      cancel = clock.after(TICK_MS, tick)
      const next = new Map<string, string>()
      for (const [tree, view] of readFetches()) {
        const { seconds, ...summary } = summaryOf(tree, view)
        const text = JSON.stringify(summary)
        next.set(tree, text)
        if (shown.get(tree) !== text) emit('fetch', { isRunning: true, ...summary, seconds })
      }
      for (const tree of shown.keys()) if (!next.has(tree)) emit('fetch', { isRunning: false, tree })
      shown = next
    }
    let cancel = clock.after(0, tick)
    return () => cancel()
  }
}
