/** /api/v1/fetches: what this node is fetching, from whom, and why each part is where it is. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../../src/base/errors.ts'
import type { FetchView } from '../../../src/replica/site-agent/tree.ts'
import type { FetchDocument, FetchesDocument, FetchSummary } from '../answers.ts'
import { says } from '../route-spec.ts'
import { FETCH, FETCH_SUMMARY, PAUSED } from '../schema/fetch-schema.ts'
import type { Services } from '../services.ts'

/** A fetch has 64 active pages of up to 1,024 segments: more than anybody reads. */
const MAX_SEGMENTS = 2000

export function addFetchRoutes(app: FastifyInstance, { readFetches, pauses }: Services): void {
  app.get(
    '/api/v1/fetches',
    says({
      summary: 'What this node is fetching, and what it may not now',
      scope: 'read',
      answer: z.strictObject({ fetches: z.array(FETCH_SUMMARY), paused: z.array(PAUSED).exactOptional() }),
    }),
    (): FetchesDocument => ({
      fetches: [...readFetches()].map(([tree, view]) => summaryOf(tree, view)),
      paused: [...pauses.list()].map(([tree, pause]) => ({ tree, ...pause })),
    }),
  )
  app.get<{ Params: { tree: string } }>(
    '/api/v1/fetches/:tree',
    says({ summary: 'One fetch: each peer and each active segment', scope: 'read', answer: FETCH }),
    ({ params: { tree } }): FetchDocument => {
      const view = readFetches().get(tree)
      if (view === undefined) {
        throw new MirrorError('not-found', `${tree} is not being fetched here`, {
          hint: 'mirrormesh status tells where it is complete.',
        })
      }
      return fetchDocument(tree, view)
    },
  )
}

export function fetchDocument(tree: string, view: FetchView, maxSegments = MAX_SEGMENTS): FetchDocument {
  const { segments = [], peers = [], requestedBlocks = {}, duplicateBlocks = 0 } = view.explanation ?? {}
  return {
    ...summaryOf(tree, view),
    peers,
    requestedBlocks,
    duplicateBlocks,
    segments: segments.slice(0, maxSegments),
    moreSegments: Math.max(0, segments.length - maxSegments),
  }
}

export function summaryOf(tree: string, view: FetchView): FetchSummary {
  return {
    tree,
    snapshot: view.snapshot.toString(),
    phase: view.phase,
    seconds: view.seconds,
    heldBlocks: view.heldBlocks,
    totalBlocks: view.totalBlocks ?? null,
    heldBytes: view.heldBytes,
    totalBytes: view.totalBytes ?? null,
    fetchedBytes: view.fetchedBytes,
    deltas: view.deltas ?? null,
    bytesPerSecond: Math.round(
      [...(view.explanation?.peers ?? []), ...(view.deltaExplanation?.peers ?? [])].reduce(
        (sum, { bytesPerSecond, inFlightBytes }) => sum + (inFlightBytes > 0 ? bytesPerSecond : 0),
        0,
      ),
    ),
    ...(view.ahead === undefined ? {} : { checkout: view.ahead }),
  }
}
