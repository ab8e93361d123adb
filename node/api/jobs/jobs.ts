/**
 * Long jobs as resources: each runs by itself, can be watched by any number of clients, and can be cancelled. Jobs do
 * not outlive the daemon; what they did (blocks, records, files) does.
 *
 * Bounded: jobs that run at one time, finished ones that are remembered, and how often watchers hear of progress.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../../src/base/clock.ts'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'
import { problemOf } from '../problem.ts'
import type { JobDocument, JobKind, JobProgress, Problem } from './job-document.ts'

export interface JobControl {
  readonly signal: AbortSignal
  /** Fires when the job has ended, well or not: for what it holds until then. */
  readonly ended: AbortSignal
  report(progress: JobProgress): void
}

export interface Jobs {
  start(kind: JobKind, run: (control: JobControl) => Promise<unknown>): JobDocument
  get(id: string): JobDocument
  list(): JobDocument[]
  /** Returns when the job has ended. */
  cancel(id: string): Promise<void>
  /** The job now, then again after each change (at most ten a second) until it has ended. */
  watch(id: string, signal: AbortSignal): AsyncGenerator<JobDocument>
  /** Told of each start, step and end. Returns the function that ends it. */
  onChange(listener: (job: JobDocument) => void): () => void
  /** Cancels all and waits for them. */
  stop(): Promise<void>
}

export interface JobLog {
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
}

interface Job {
  document: JobDocument
  readonly controller: AbortController
  readonly changed: Set<() => void>
  readonly ended: Promise<void>
}

const NOTICE_MS = 100

export function createJobs(
  { clock, log }: { clock: Clock; log: JobLog },
  { maxRunning = 16, maxRemembered = 256 }: { maxRunning?: number; maxRemembered?: number } = {},
): Jobs {
  const jobs = new Map<string, Job>()
  const listeners = new Set<(job: JobDocument) => void>()
  let isStopping = false

  function find(id: string): Job {
    const job = jobs.get(id)
    if (job !== undefined) return job
    throw new MirrorError('not-found', `there is no job ${JSON.stringify(id.slice(0, 64))}`)
  }

  function change(job: Job, change: Partial<JobDocument>): void {
    job.document = { ...job.document, ...change }
    for (const notice of job.changed) notice()
    for (const listener of listeners) listener(job.document)
  }

  async function run(job: Job, work: (control: JobControl) => Promise<unknown>): Promise<void> {
    const { kind, id } = job.document
    const { signal } = job.controller
    const ended = new AbortController()
    try {
      const result = await work({
        signal,
        ended: ended.signal,
        report: (progress) => change(job, { progress }),
      })
      change(job, { state: 'done', endedMs: clock.nowMs(), result })
      log.info({ job: id, kind, ms: clock.nowMs() - job.document.startedMs }, 'job.done')
    } catch (error) {
      const isCancelled = signal.aborted && (!isMirrorError(error) || error.code === 'aborted')
      const problem: Problem = problemOf(isCancelled ? signal.reason : error, kind)
      change(job, { state: isCancelled ? 'cancelled' : 'failed', endedMs: clock.nowMs(), problem })
      if (isCancelled) log.info({ job: id, kind }, 'job.cancelled')
      else log.warn({ job: id, kind, err: error }, 'job.failed')
    } finally {
      ended.abort()
    }
  }

  function forgetOld(): void {
    const ended = [...jobs].filter(([, job]) => job.document.state !== 'running')
    for (const [id] of ended.slice(0, Math.max(0, ended.length - maxRemembered))) jobs.delete(id)
  }

  return {
    start(kind, work) {
      if (isStopping) throw new MirrorError('unreachable', 'the daemon is stopping')
      const running = [...jobs.values()].filter((job) => job.document.state === 'running').length
      if (running >= maxRunning) {
        throw new MirrorError('busy', `${running} jobs are running, which is the limit`, {
          hint: 'Wait until one has ended.',
        })
      }
      forgetOld()
      const { promise, resolve } = Promise.withResolvers<void>()
      const job: Job = {
        document: { id: randomBytes(8).toString('hex'), kind, state: 'running', startedMs: clock.nowMs() },
        controller: new AbortController(),
        changed: new Set(),
        ended: promise,
      }
      jobs.set(job.document.id, job)
      log.info({ job: job.document.id, kind }, 'job.started')
      for (const listener of listeners) listener(job.document)
      // It never rejects: every failure ends up in the document.
      void run(job, work).then(resolve)
      return job.document
    },
    get: (id) => find(id).document,
    list: () => [...jobs.values()].map((job) => job.document),
    async cancel(id) {
      const job = find(id)
      job.controller.abort(new MirrorError('aborted', `the ${job.document.kind} was cancelled`))
      await job.ended
    },
    async *watch(id, signal) {
      const job = find(id)
      let shown: JobDocument | undefined
      let wake = (): void => undefined
      const notice = (): void => wake()
      job.changed.add(notice)
      signal.addEventListener('abort', notice, { once: true })
      try {
        while (!signal.aborted) {
          const { document } = job
          if (document !== shown) {
            shown = document
            yield document
            if (document.state !== 'running') return
            await new Promise<void>((resolve) => clock.after(NOTICE_MS, resolve))
          } else {
            await new Promise<void>((resolve) => {
              wake = resolve
              // The change may have come before the promise was made.
              if (job.document !== shown || signal.aborted) resolve()
            })
          }
        }
      } finally {
        job.changed.delete(notice)
        signal.removeEventListener('abort', notice)
      }
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async stop() {
      isStopping = true
      const running = [...jobs.values()].filter((job) => job.document.state === 'running')
      for (const job of running) job.controller.abort(new MirrorError('aborted', 'the daemon is stopping'))
      await Promise.all(running.map((job) => job.ended))
    },
  }
}
