/** /api/v1/config: how this node is set, in this run and from the next start. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { ConfigDocument } from '../../config-editor.ts'
import type { Hook } from '../../hooks/run-hook.ts'
import { scopeCovers } from '../../tokens.ts'
import { parseBody } from '../parse.ts'
import { etagOf, isMet, refuseStale } from '../precondition.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'

const CONFIG = z.strictObject({
  settings: z.array(
    z.strictObject({
      key: z.string(),
      value: z.unknown().describe('of this run'),
      from: z.enum(['flag', 'environment', 'file', 'default']),
      meaning: z.string(),
      isEditable: z.boolean().describe('by PATCH'),
      next: z.unknown().optional().describe('from the next start, where that is another'),
    }),
  ),
  fault: z.string().exactOptional().describe('of the file as it is now: the daemon would not start by it'),
}) satisfies z.ZodType<ConfigDocument>
const CHANGE = z.strictObject({
  settings: z
    .record(z.string().max(64), z.unknown())
    .refine((settings) => Object.keys(settings).length > 0, 'is empty')
    .describe('null takes one out of the file'),
})

/** The address of a webhook is often all that is needed to call it, and a command's arguments may be secrets as well. */
function withoutAddresses(document: ConfigDocument): ConfigDocument {
  const settings = document.settings.map((setting) =>
    setting.key !== 'hooks'
      ? setting
      : {
          ...setting,
          value: shownHooks(setting.value),
          ...('next' in setting ? { next: shownHooks(setting.next) } : {}),
        },
  )
  return { ...document, settings }
}

function shownHooks(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return (value as readonly Hook[]).map(({ url, command, ...rest }) => ({
    ...rest,
    ...(url === undefined ? {} : { url: `${URL.parse(url)?.origin ?? ''}/…` }),
    ...(command === undefined ? {} : { command: [...command.slice(0, 1), '…'] }),
  }))
}

export function addConfigRoutes(app: FastifyInstance, { configEditor, log }: Services): void {
  app.get(
    '/api/v1/config',
    says({
      summary: 'Every setting of this run of the daemon, without secrets',
      scope: 'operate',
      answer: CONFIG,
    }),
    async ({ access: { scope } }, reply) => {
      const document = await configEditor.read()
      reply.header('etag', etagOf(document))
      return scopeCovers(scope, 'admin') ? document : withoutAddresses(document)
    },
  )
  app.patch(
    '/api/v1/config',
    says({
      summary: 'Changes settings in the config file, for the next start',
      scope: 'admin',
      body: CHANGE,
      answer: CONFIG,
      otherwise: { 412: 'they are not as If-Match says any more' },
    }),
    async (request, reply) => {
      const { settings } = parseBody(CHANGE, request.body)
      if (!isMet(request, etagOf(await configEditor.read()))) return refuseStale(reply)
      const document = await configEditor.change(settings)
      log.info({ settings, by: request.access.token?.id ?? 'socket' }, 'config.changed')
      reply.header('etag', etagOf(document))
      return document
    },
  )
}
