/** /api/v1/tokens: who may read private trees at the gateway, or use the API over the network. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { MirrorError } from '../../src/base/errors.ts'
import { type TokenInfo, tokenRequestSchema } from '../tokens.ts'
import type { Services } from './services.ts'

export interface TokenDocument extends TokenInfo {
  readonly isExpired: boolean
}

export interface NewTokenDocument extends TokenDocument {
  /** Shown this once. */
  readonly token: string
}

export function addTokenRoutes(
  app: FastifyInstance,
  { tokens, clock }: Pick<Services, 'tokens' | 'clock'>,
): void {
  const describe = (info: TokenInfo): TokenDocument => ({
    ...info,
    isExpired: clock.nowMs() >= info.expiresMs,
  })

  app.get('/api/v1/tokens', () => ({ tokens: tokens.list().map(describe) }))

  app.post('/api/v1/tokens', async ({ body }): Promise<NewTokenDocument> => {
    const request = tokenRequestSchema.safeParse(body)
    if (!request.success) {
      const [issue] = request.error.issues
      throw new MirrorError(
        'invalid',
        `${issue?.path.join('.') ?? 'the body'}: ${issue?.message ?? 'malformed'}`,
      )
    }
    const { token, info } = await tokens.create(request.data)
    return { ...describe(info), token }
  })

  app.delete('/api/v1/tokens/:id', async ({ params }: FastifyRequest<{ Params: { id: string } }>) =>
    describe(await tokens.revoke(params.id)),
  )
}
