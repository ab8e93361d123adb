/** /api/v1/store: what the store is made of. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { printableName } from '../../../src/base/bytes.ts'
import type { BackingDocument } from '../answers.ts'
import { says } from '../route-spec.ts'
import { BACKING } from '../schema/tree-schema.ts'
import type { Services } from '../services.ts'

export function addStoreRoutes(app: FastifyInstance, { blocks }: Services): void {
  app.get(
    '/api/v1/store/backings',
    says({
      summary: 'Folders outside of the store that blocks lie in',
      scope: 'read',
      answer: z.strictObject({ backings: z.array(BACKING) }),
    }),
    async () => {
      const backings: BackingDocument[] = []
      for (const { id, purpose, label, path } of blocks.backings.list()) {
        const size = await blocks.backings.measure(id)
        backings.push({ id, purpose, tree: label, path: printableName(path), ...size })
      }
      return { backings }
    },
  )
}
