/** /api/v1/limits: the caps of this site, as they are and as they shall be. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { SCHEDULE } from '../../limit-schedule.ts'
import { LIMIT_CHANGE, type LimitsDocument } from '../../limits.ts'
import { parseBody } from '../parse.ts'
import { etagOf, isMet, refuseStale } from '../precondition.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'

const LIMIT = z.strictObject({
  value: z.int(),
  from: z.enum(['config', 'set', 'schedule']),
  configured: z.int(),
  otherwise: z.int().describe('what holds when no window says otherwise'),
})
const LIMITS = z.strictObject({
  wanUpBytesPerSecond: LIMIT,
  wanDownBytesPerSecond: LIMIT,
  regionUpBytesPerSecond: LIMIT,
  regionDownBytesPerSecond: LIMIT,
  schedule: SCHEDULE.extend({
    from: z.enum(['config', 'set']),
    active: z.int().nullable().describe('which window holds'),
    untilMs: z.number().nullable(),
  }).nullable(),
}) satisfies z.ZodType<LimitsDocument>
export function addLimitRoutes(app: FastifyInstance, { limits, log }: Services): void {
  app.get(
    '/api/v1/limits',
    says({
      summary: 'What this site sends and receives at most, in bytes a second',
      scope: 'read',
      answer: LIMITS,
    }),
    (_, reply) => {
      const document = limits.read()
      reply.header('etag', etagOf(limits.said()))
      return document
    },
  )
  app.patch(
    '/api/v1/limits',
    says({
      summary: 'Changes some of them; null takes back what was set',
      scope: 'operate',
      body: LIMIT_CHANGE,
      answer: LIMITS,
      otherwise: { 412: 'they are not as If-Match says any more' },
    }),
    async (request, reply) => {
      const change = parseBody(LIMIT_CHANGE, request.body)
      if (!isMet(request, etagOf(limits.said()))) return refuseStale(reply)
      const document = await limits.change(change)
      log.info({ ...change, by: request.access.token?.id ?? 'socket' }, 'limits.changed')
      reply.header('etag', etagOf(limits.said()))
      return document
    },
  )
}
