/** /api/v1/limits: the caps of this site, as they are and as they shall be. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { SCHEDULE } from '../../limit-schedule.ts'
import { LIMIT_CHANGE, type LimitsDocument } from '../../limits.ts'
import type { LimitsAnswer } from '../answers.ts'
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
const GIVE_WAY = LIMIT.omit({ otherwise: true }).extend({ from: z.enum(['config', 'set']) })
const SAID = z.strictObject({
  wanUpBytesPerSecond: LIMIT,
  wanDownBytesPerSecond: LIMIT,
  regionUpBytesPerSecond: LIMIT,
  regionDownBytesPerSecond: LIMIT,
  giveWayMs: GIVE_WAY.describe(
    'milliseconds of queue that what is sent to other regions may cause; 0 gives way to nobody',
  ),
  giveWayMinBytesPerSecond: GIVE_WAY,
  schedule: SCHEDULE.extend({
    from: z.enum(['config', 'set']),
    active: z.int().nullable().describe('which window holds'),
    untilMs: z.number().nullable(),
  }).nullable(),
}) satisfies z.ZodType<LimitsDocument>
const PATH = z.strictObject({
  site: z.string().nullable(),
  peer: z.string(),
  rttMs: z.number(),
  queueMs: z.number().describe('of these: what is over the smallest of the last minutes'),
  bytesPerSecond: z
    .int()
    .nullable()
    .describe('what this site sends there at most now; null when nothing bounds it'),
  givesWay: z.boolean().describe('to other traffic'),
  connections: z.int(),
})
const LIMITS = SAID.extend({
  paths: z.array(PATH).describe('to connected peers of other regions to which something was sent'),
}) satisfies z.ZodType<LimitsAnswer>

export function addLimitRoutes(app: FastifyInstance, { limits, host, ledger, log }: Services): void {
  const withPaths = (document: LimitsDocument): LimitsAnswer => ({
    ...document,
    paths: host.paths().map(({ peer, rttMs, queueMs, bytesPerSecond, isYielding, connections }) => ({
      site: ledger.state().members.get(peer)?.site ?? null,
      peer,
      rttMs: Math.round(rttMs * 10) / 10,
      queueMs: Math.round(queueMs * 10) / 10,
      bytesPerSecond: bytesPerSecond ?? null,
      givesWay: isYielding,
      connections,
    })),
  })
  app.get(
    '/api/v1/limits',
    says({
      summary:
        'What this site sends and receives at most, in bytes a second, and how it gives way to other traffic',
      scope: 'read',
      answer: LIMITS,
    }),
    (_, reply) => {
      reply.header('etag', etagOf(limits.said()))
      return withPaths(limits.read())
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
      return withPaths(document)
    },
  )
}
