/** /api/v1/tokens: who may come in by TCP or read private trees by HTTP; and /api/v1/session: what the asker may do. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../../src/base/errors.ts'
import { MAX_TOKEN_NAME, type NewToken, TOKEN_SCOPES, TREE_PATTERNS } from '../../tokens.ts'
import { parseBody } from '../parse.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'

const COMMON = {
  name: z.string().min(1).max(MAX_TOKEN_NAME).describe('for people'),
  expiresMs: z.number().int().nullable().default(null).describe('ms since 1970; null for never'),
}
const NEW_TOKEN = z.discriminatedUnion('kind', [
  z.strictObject({ ...COMMON, kind: z.literal('api'), scope: z.enum(TOKEN_SCOPES) }),
  z.strictObject({ ...COMMON, kind: z.literal('gateway'), trees: TREE_PATTERNS }),
])
const SHOWN = { id: z.string(), name: z.string(), createdMs: z.number(), expiresMs: z.number().nullable() }
const TOKEN = z.discriminatedUnion('kind', [
  z.strictObject({ ...SHOWN, kind: z.literal('api'), scope: z.enum(TOKEN_SCOPES) }),
  z.strictObject({ ...SHOWN, kind: z.literal('gateway'), trees: z.array(z.string()) }),
])
const SESSION = z.strictObject({
  scope: z.enum(TOKEN_SCOPES),
  token: z.strictObject({ id: z.string(), name: z.string() }).nullable(),
  expiresMs: z.number().nullable(),
  isSession: z.boolean(),
})

export function addTokenRoutes(app: FastifyInstance, { tokens, clock, log }: Services): void {
  app.get(
    '/api/v1/session',
    says({ summary: 'What the asker may do, and until when', scope: 'read', answer: SESSION }),
    ({ access }) => access,
  )
  app.get(
    '/api/v1/tokens',
    says({
      summary: 'The tokens of this node, without their secrets',
      scope: 'admin',
      answer: z.strictObject({ tokens: z.array(TOKEN) }),
    }),
    () => ({ tokens: tokens.list() }),
  )
  app.post(
    '/api/v1/tokens',
    says({
      summary: 'Makes a token; its text is answered this once',
      scope: 'admin',
      body: NEW_TOKEN,
      status: 201,
      answer: z.strictObject({ text: z.string(), token: TOKEN }),
    }),
    async ({ body, access }, reply) => {
      const wanted: NewToken = parseBody(NEW_TOKEN, body)
      if (wanted.expiresMs !== null && wanted.expiresMs <= clock.nowMs()) {
        throw new MirrorError('invalid', 'expiresMs: is over already')
      }
      const made = await tokens.create(wanted)
      log.info({ token: made.token.id, kind: wanted.kind, by: access.token?.id ?? 'socket' }, 'token.created')
      reply.code(201)
      return made
    },
  )
  app.delete<{ Params: { id: string } }>(
    '/api/v1/tokens/:id',
    says({ summary: 'Revokes a token, and ends its sessions', scope: 'admin', status: 204 }),
    async ({ params: { id }, access }, reply) => {
      if (!(await tokens.revoke(id))) {
        throw new MirrorError('not-found', `there is no token ${JSON.stringify(id.slice(0, 64))}`, {
          hint: 'See: mirrormesh token list',
        })
      }
      log.info({ token: id, by: access.token?.id ?? 'socket' }, 'token.revoked')
      reply.code(204)
    },
  )
}
