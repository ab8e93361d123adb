/**
 * Runs a long job of the daemon: starts it, shows its progress, and returns its result. When the user interrupts,
 * the job is cancelled; when the daemon goes away, that is the error.
 */
import { MirrorError } from '../../src/base/errors.ts'
import type { JobDocument, JobKind } from '../api/jobs/job-document.ts'
import { problemOf } from './api-client.ts'
import type { Context } from './context.ts'
import { createProgress } from './progress.ts'

export async function runJob<T>(
  context: Context,
  request: { kind: JobKind; [parameter: string]: unknown },
  title: string,
): Promise<T> {
  const { api, signal } = context
  const started = await api.post<JobDocument>('/api/v1/jobs', request, signal)
  const progress = createProgress(context, { title })
  try {
    for await (const { event, data } of api.events(`/api/v1/jobs/${started.id}/events`, signal)) {
      const job = data as JobDocument
      if (event === 'progress' && job.progress !== undefined) progress.update(job.progress)
      if (event === 'end') return resultOf<T>(job)
    }
    throw new MirrorError('unreachable', `${title}: the daemon stopped in the middle of it`, {
      hint: 'Start it again and repeat: what was done is kept.',
    })
  } catch (error) {
    // Not with the fired signal: this request is what follows from it.
    if (signal.aborted) await api.delete(`/api/v1/jobs/${started.id}`).catch(() => undefined)
    throw error
  } finally {
    progress.end()
  }
}

function resultOf<T>(job: JobDocument): T {
  if (job.state === 'done') return job.result as T
  if (job.problem !== undefined) throw problemOf(JSON.stringify(job.problem), 500)
  throw new MirrorError('aborted', `${job.kind}: cancelled`)
}
