/** GET /api/v1/events: what happens, as server-sent events (event-feed.ts). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { EVENT_KINDS, type EventFeed, type EventKind, type EventSink } from '../event-feed.ts'
import { parseQuery } from '../parse.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'

const LOOK_MS = 15_000

const QUERY = z.object({
  kinds: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(EVENT_KINDS)).min(1))
    .optional()
    .describe('only these, separated by commas'),
  after: z.string().max(64).optional().describe('as the header Last-Event-ID'),
})

export function addEventRoutes(app: FastifyInstance, services: Services, feed: EventFeed): void {
  app.get(
    '/api/v1/events',
    says({
      summary: 'What happens, as it happens: records, status, jobs, fetches, alarms',
      scope: 'read',
      query: QUERY,
      answerAs: 'events',
    }),
    (request, reply) => {
      const { kinds = EVENT_KINDS, after } = parseQuery(QUERY, request.url)
      const header = request.headers['last-event-id']
      stream(services, feed, request, reply, {
        after: typeof header === 'string' ? header : after,
        kinds: new Set<EventKind>(kinds),
      })
    },
  )
}

function stream(
  { tokens, clock, log }: Services,
  feed: EventFeed,
  { access }: FastifyRequest,
  reply: FastifyReply,
  asked: { after: string | undefined; kinds: ReadonlySet<EventKind> },
): void {
  const { raw } = reply
  let isBegun = false
  const begin = (): void => {
    reply.hijack()
    isBegun = true
    raw.on('error', () => undefined)
    raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // Proxies that gather an answer before they pass it on are asked not to.
      'x-accel-buffering': 'no',
    })
  }
  const sink: EventSink = {
    waitingBytes: () => raw.writableLength,
    write(text) {
      // Not before the feed has room for it: until then there may be a problem to answer.
      if (!isBegun) begin()
      raw.write(text)
    },
    cut(reason) {
      log.info({ reason, token: access.token?.id }, 'api.events-cut')
      raw.destroy()
    },
  }
  const close = feed.open(sink, asked)
  const look = (): void => {
    cancel = clock.after(LOOK_MS, look)
    const { token, expiresMs } = access
    const isOver = expiresMs !== null && clock.nowMs() >= expiresMs
    if (isOver || (token !== null && !tokens.isInForce(token.id))) sink.cut('its token has ended')
  }
  let cancel = clock.after(LOOK_MS, look)
  const endRevoked = tokens.onRevoked((id) => {
    if (id === access.token?.id) sink.cut('its token was revoked')
  })
  raw.once('close', () => {
    close()
    cancel()
    endRevoked()
  })
}
