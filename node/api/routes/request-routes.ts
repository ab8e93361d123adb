/** /api/v1/requests: newcomers without an invite that wait for an admin, wherever in the mesh they asked. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../../src/base/errors.ts'
import { parseBody } from '../parse.ts'
import { says } from '../route-spec.ts'
import { REQUEST } from '../schema/status-schema.ts'
import type { Services } from '../services.ts'

export type RequestDocument = Readonly<z.infer<typeof REQUEST>>

const NOTHING = z.strictObject({})

export function addRequestRoutes(
  app: FastifyInstance,
  { readStatus, readSelf, joinRequests }: Services,
): void {
  const list = () => readStatus().requests ?? []

  app.get(
    '/api/v1/requests',
    says({
      summary: 'Newcomers without an invite that wait for an admin, oldest first',
      scope: 'read',
      answer: z.strictObject({ requests: z.array(REQUEST) }),
    }),
    () => ({ requests: list() }),
  )
  app.post<{ Params: { peer: string } }>(
    '/api/v1/requests/:peer/deny',
    says({
      summary: 'Turns a newcomer down, at the member that it asked; its key is not listened to for an hour',
      scope: 'admin',
      body: NOTHING,
      answer: z.strictObject({ peer: z.string() }),
    }),
    ({ params: { peer }, body }) => {
      parseBody(NOTHING, body)
      if (joinRequests.deny(peer)) return { peer }
      const found = list().find((each) => each.peer === peer && each.via !== readSelf().peer)
      if (found !== undefined) {
        throw new MirrorError('conflict', `${peer} asked at ${found.viaSite}, which alone can turn it down`, {
          hint: `Run it at ${found.viaSite}, or end its key at every site: mirrormesh member deny ${found.code} --everywhere. A request that nobody approves ends by itself.`,
        })
      }
      throw new MirrorError('not-found', `no request of ${peer.slice(0, 64)} is pending`, {
        hint: 'See: mirrormesh member requests',
      })
    },
  )
}
