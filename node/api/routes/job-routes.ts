/** /api/v1/jobs: publish, checkout, verify and the rest as resources, with their progress as server-sent events. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { runAdoptJob, runDropBackingJob } from '../jobs/backing-jobs.ts'
import { runCheckoutJob } from '../jobs/checkout-job.ts'
import { runCollectJob } from '../jobs/collect-job.ts'
import { runDropVersionsJob } from '../jobs/drop-versions-job.ts'
import type { JobDocument, JobKind } from '../jobs/job-document.ts'
import type { JobControl } from '../jobs/jobs.ts'
import { runPublishJob } from '../jobs/publish-job.ts'
import { runRollBackJob } from '../jobs/roll-back-job.ts'
import { runScrubJob } from '../jobs/scrub-job.ts'
import { runVerifyJob } from '../jobs/verify-job.ts'
import { runWaitJob } from '../jobs/wait-job.ts'
import { PAGE_QUERY, pageOf } from '../page.ts'
import { parseBody, parseQuery } from '../parse.ts'
import { says } from '../route-spec.ts'
import { JOB, JOB_BODIES, JOB_KINDS, type JobBody } from '../schema/job-schema.ts'
import { JOB_SCOPE } from '../scopes.ts'
import type { Services } from '../services.ts'
import { signalOf } from './tree-routes.ts'

type Run<K extends JobKind> = (
  services: Services,
  body: JobBody<K>,
) => (control: JobControl) => Promise<unknown>
type JobRequest = FastifyRequest<{ Params: { id: string } }>

const KIND = z.object({ kind: z.enum(JOB_KINDS) })
const ANY_BODY = z.discriminatedUnion('kind', Object.values(JOB_BODIES) as [typeof JOB_BODIES.publish])

/** Each reads its parameters at once, so that what is malformed is refused before a job exists. */
const RUNNERS: { readonly [K in JobKind]: Run<K> } = {
  publish: runPublishJob,
  'drop-versions': runDropVersionsJob,
  'roll-back': runRollBackJob,
  wait: runWaitJob,
  checkout: runCheckoutJob,
  verify: runVerifyJob,
  adopt: runAdoptJob,
  'drop-backing': runDropBackingJob,
  collect: runCollectJob,
  scrub: runScrubJob,
}

export function addJobRoutes(app: FastifyInstance, services: Services): void {
  const { jobs } = services
  app.post(
    '/api/v1/jobs',
    says({ summary: 'Starts a job', scope: JOB_SCOPE, body: ANY_BODY, answer: JOB, status: 202 }),
    ({ body }, reply) => {
      const { kind } = parseBody(KIND, body)
      const job = jobs.start(kind, prepare(kind, services, body))
      reply.code(202).header('location', `/api/v1/jobs/${job.id}`)
      return job
    },
  )
  app.get(
    '/api/v1/jobs',
    says({
      summary: 'Jobs of this run of the daemon, oldest first',
      // What they found may be inside of private trees, or on the machine's disk.
      scope: 'operate',
      query: PAGE_QUERY,
      answer: z.strictObject({ jobs: z.array(JOB), cursor: z.string().nullable() }),
    }),
    ({ url }) => {
      const keyOf = ({ startedMs, id }: JobDocument): string => `${String(startedMs).padStart(16, '0')} ${id}`
      const sorted = jobs.list().toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
      const { items, cursor } = pageOf(sorted, keyOf, parseQuery(PAGE_QUERY, url))
      return { jobs: items, cursor }
    },
  )
  app.get(
    '/api/v1/jobs/:id',
    says({ summary: 'A job', scope: 'operate', answer: JOB }),
    ({ params }: JobRequest) => jobs.get(params.id),
  )
  app.delete(
    '/api/v1/jobs/:id',
    says({ summary: 'Cancels a job; answers when it has ended', scope: 'operate', status: 204 }),
    async ({ params }: JobRequest, reply) => {
      await jobs.cancel(params.id)
      reply.code(204)
    },
  )
  app.get(
    '/api/v1/jobs/:id/events',
    says({ summary: 'Its progress, and its end', scope: 'operate', answerAs: 'events' }),
    ({ params }: JobRequest, reply) => {
      jobs.get(params.id)
      const events = jobs.watch(params.id, signalOf(reply))
      return reply
        .header('content-type', 'text/event-stream')
        .header('cache-control', 'no-store')
        .send(Readable.from(eventText(events)))
    },
  )
}

async function* eventText(documents: AsyncIterable<JobDocument>): AsyncGenerator<string> {
  for await (const document of documents) {
    yield `event: ${document.state === 'running' ? 'progress' : 'end'}\ndata: ${JSON.stringify(document)}\n\n`
  }
}

function prepare<K extends JobKind>(kind: K, services: Services, body: unknown) {
  return RUNNERS[kind](services, parseBody(JOB_BODIES[kind] as unknown as z.ZodType<JobBody<K>>, body))
}
