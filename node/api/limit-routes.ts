/** /api/v1/limits: the caps of this site, as they are and as they shall be; /api/v1/config: what is set. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Setting } from '../config.ts'
import type { Hook } from '../hooks/run-hook.ts'
import { SCHEDULE } from '../limit-schedule.ts'
import { LIMIT_CHANGE, type LimitsDocument } from '../limits.ts'
import { scopeCovers } from '../tokens.ts'
import { parseBody } from './parse.ts'
import { etagOf, isMet, refuseStale } from './precondition.ts'
import { says } from './route-spec.ts'
import type { Services } from './services.ts'

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
const SETTING = z.strictObject({
  key: z.string(),
  value: z.unknown(),
  from: z.enum(['flag', 'environment', 'file', 'default']),
  meaning: z.string(),
})

/** The address of a webhook is often all that is needed to call it, and a command's arguments may be secrets as well. */
function withoutAddresses(setting: Setting): Setting {
  if (setting.key !== 'hooks' || !Array.isArray(setting.value)) return setting
  const value = (setting.value as readonly Hook[]).map(({ url, command, ...rest }) => ({
    ...rest,
    ...(url === undefined ? {} : { url: `${URL.parse(url)?.origin ?? ''}/…` }),
    ...(command === undefined ? {} : { command: [...command.slice(0, 1), '…'] }),
  }))
  return { ...setting, value }
}

export function addLimitRoutes(app: FastifyInstance, { limits, readSettings, log }: Services): void {
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
  app.get(
    '/api/v1/config',
    says({
      summary: 'Every setting of this run of the daemon, without secrets',
      scope: 'operate',
      answer: z.strictObject({ settings: z.array(SETTING) }),
    }),
    ({ access: { scope } }) => ({
      settings: scopeCovers(scope, 'admin') ? readSettings() : readSettings().map(withoutAddresses),
    }),
  )
}
