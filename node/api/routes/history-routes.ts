/** /api/v1/history: what this node has measured over the last days (node/history). */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { COARSE, FINE } from '../../history/history.ts'
import { parseQuery } from '../parse.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'

const MAX_SERIES = 64
const HOUR_MS = 3_600_000

const TIME = z
  .string()
  .regex(/^\d{1,15}$/, 'is in ms since 1970')
  .transform(Number)
  .optional()

const QUERY = z.object({
  series: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.string().min(1).max(700)).min(1).max(MAX_SERIES))
    .describe('names, separated by commas: in.wan, complete.TREE and so on'),
  from: TIME.describe('ms since 1970; an hour ago when absent'),
  to: TIME.describe('ms since 1970; now when absent'),
  step: z
    .string()
    .regex(/^[1-9]\d{0,6}$/, 'is in seconds')
    .transform(Number)
    .optional()
    .describe('seconds, a multiple of 10; of 300 for what is older than an hour; chosen when absent'),
})

export function addHistoryRoutes(app: FastifyInstance, { history, clock }: Services): void {
  app.get(
    '/api/v1/history',
    says({
      summary: 'Numbers over time: bytes by path class and site, completeness and lag by tree',
      scope: 'read',
      query: QUERY,
      answer: z.strictObject({
        fromMs: z.number(),
        stepMs: z.number(),
        series: z.record(z.string(), z.array(z.number().nullable())),
      }),
    }),
    ({ url }) => {
      const { series, from, to: toMs = clock.nowMs(), step } = parseQuery(QUERY, url)
      const fromMs = from ?? toMs - HOUR_MS
      const isRecent = fromMs >= clock.nowMs() - FINE.slots * FINE.stepMs
      const stepMs = step === undefined ? (isRecent ? FINE : COARSE).stepMs : step * 1000
      return history.read({ series, fromMs, toMs, stepMs })
    },
  )
  app.get(
    '/api/v1/history/series',
    says({
      summary: 'Names of the series of which anything is known',
      scope: 'read',
      answer: z.strictObject({ series: z.array(z.string()) }),
    }),
    async () => ({ series: await history.names() }),
  )
}
