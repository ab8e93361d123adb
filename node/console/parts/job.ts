/** Starts a job at the node and waits for its end by the stream of events. */
import type { JobDocument } from '../../api/jobs/job-document.ts'
import { getJson, Problem, postJson } from '../api.ts'
import { onEvent } from '../live.ts'

/** Asked too, for the case that the stream has just broken off. */
const LOOK_MS = 3000

/** @throws Problem that ended it */
export async function runJob<T>(body: object): Promise<T> {
  const started = await postJson<JobDocument>('/api/v1/jobs', body)
  const ended = await new Promise<JobDocument>((resolve, reject) => {
    const finish = (job: JobDocument): void => {
      if (job.id !== started.id || job.state === 'running') return
      clearInterval(timer)
      end()
      // What the stream tells of a job is without its result.
      getJson<JobDocument>(`/api/v1/jobs/${started.id}`).then(resolve, reject)
    }
    const end = onEvent<JobDocument>('job', finish)
    const timer = setInterval(() => {
      getJson<JobDocument>(`/api/v1/jobs/${started.id}`).then(finish, () => undefined)
    }, LOOK_MS)
    finish(started)
  })
  if (ended.state === 'done') return ended.result as T
  const { status = 500, code = 'aborted', detail = `the job was ${ended.state}`, hint } = ended.problem ?? {}
  throw new Problem(status, code, detail, hint)
}
