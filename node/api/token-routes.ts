/** /api/v1/tokens: who may read private trees at the gateway, or use the API over the network. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../src/base/errors.ts'
import { MAX_TOKEN_NAME, TOKEN_SCOPES, type Token, TREE_PATTERNS } from '../tokens.ts'
import type { Services } from './services.ts'

const COMMON = {
  name: z.string().min(1).max(MAX_TOKEN_NAME),
  expiresMs: z.number().int().nullable().default(null),
}
const NEW_TOKEN = z.discriminatedUnion('kind', [
  z.strictObject({ ...COMMON, kind: z.literal('api'), scope: z.enum(TOKEN_SCOPES) }),
  z.strictObject({ ...COMMON, kind: z.literal('gateway'), trees: TREE_PATTERNS }),
])

export function addTokenRoutes(
  app: FastifyInstance,
  { tokens, clock }: Pick<Services, 'tokens' | 'clock'>,
): void {
  app.get('/api/v1/tokens', (): { tokens: Token[] } => ({ tokens: tokens.list() }))

  app.post('/api/v1/tokens', async ({ body }, reply) => {
    const wanted = NEW_TOKEN.safeParse(body)
    if (!wanted.success) {
      const [issue] = wanted.error.issues
      throw new MirrorError('invalid', `${issue?.path.join('.')}: ${issue?.message ?? 'malformed'}`)
    }
    if (wanted.data.expiresMs !== null && wanted.data.expiresMs <= clock.nowMs())
      throw new MirrorError('invalid', 'expiresMs: is over already')
    reply.code(201)
    return tokens.create(wanted.data)
  })

  app.delete<{ Params: { id: string } }>('/api/v1/tokens/:id', async ({ params: { id } }, reply) => {
    if (!(await tokens.revoke(id))) {
      throw new MirrorError('not-found', `there is no token ${JSON.stringify(id.slice(0, 64))}`, {
        hint: 'See: mirrormesh token list',
      })
    }
    reply.code(204)
  })
}
