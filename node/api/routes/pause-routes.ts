/**
 * POST /api/v1/fetches/TREE/pause and resume: an operator of this very node holds a fetch back, and lets it go on. There is no way
 * to pause one at another site from here: what a site fetches is steered from elsewhere by signed records (pins, drains), and
 * whoever operates that site has a token there.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { printableName, utf8 } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import { MAX_PAUSED_BY } from '../../../src/replica/fetch-pauses.ts'
import { parseBody } from '../parse.ts'
import { says } from '../route-spec.ts'
import { PAUSED } from '../schema/fetch-schema.ts'
import type { Services } from '../services.ts'

const BODY = z.strictObject({
  by: z.string().min(1).max(64).describe('who, where no token says it: on the Unix socket').exactOptional(),
})

export function addPauseRoutes(app: FastifyInstance, { pauses, readSelf, readStatus, log }: Services): void {
  app.post<{ Params: { tree: string } }>(
    '/api/v1/fetches/:tree/pause',
    says({
      summary: 'Fetches nothing more of a tree here until it is resumed',
      scope: 'operate',
      body: BODY,
      answer: PAUSED,
    }),
    async ({ params: { tree }, body, access }) => {
      const { by } = parseBody(BODY, body ?? {})
      const { site } = readSelf()
      const kept = readStatus().trees.find((each) => each.tree === tree)
      if (kept?.sites.some((each) => each.site === site) !== true) {
        throw new MirrorError('not-found', `${tree.slice(0, 600)} is not kept at ${site}`, {
          hint: 'What is: mirrormesh status',
        })
      }
      const who = access.token?.name || by || `somebody at the machine of ${site}`
      const pause = await pauses.pause(tree, printableName(utf8(who)).slice(0, MAX_PAUSED_BY))
      log.info({ tree, by: access.token?.id ?? 'socket' }, 'fetch.paused')
      return { tree, ...pause }
    },
  )
  app.post<{ Params: { tree: string } }>(
    '/api/v1/fetches/:tree/resume',
    says({
      summary: 'Lets a paused fetch go on',
      scope: 'operate',
      body: z.strictObject({}),
      answer: z.strictObject({ tree: z.string(), wasPaused: z.boolean() }),
    }),
    async ({ params: { tree }, access }) => {
      const wasPaused = await pauses.resume(tree)
      if (wasPaused) log.info({ tree, by: access.token?.id ?? 'socket' }, 'fetch.resumed')
      return { tree, wasPaused }
    },
  )
}
