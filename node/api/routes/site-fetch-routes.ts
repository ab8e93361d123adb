/**
 * /api/v1/sites/SITE/fetches: what another site is fetching, asked of it over the mesh while somebody looks. What it answers is
 * its own word, and is read as such: by the schemas of this node's own answers.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { decodeUtf8 } from '../../../src/base/bytes.ts'
import { asMirrorError, MirrorError } from '../../../src/base/errors.ts'
import { encodeQuestion, type Question } from '../../../src/replica/questions.ts'
import type { FetchDocument, FetchSummary } from '../answers.ts'
import { says } from '../route-spec.ts'
import { FETCH, FETCH_SUMMARY } from '../schema/fetch-schema.ts'
import type { Services } from '../services.ts'
import { fetchDocument, summaryOf } from './fetch-routes.ts'
import { signalOf } from './tree-routes.ts'

/** To connect, too. */
const TIMEOUT_MS = 10_000
const FETCHES = z.object({ fetches: z.array(FETCH_SUMMARY.strip()).max(256) })

export function addSiteFetchRoutes(app: FastifyInstance, services: Services): void {
  app.get<{ Params: { site: string } }>(
    '/api/v1/sites/:site/fetches',
    says({
      summary: 'What that site is fetching, asked of it over the mesh',
      scope: 'read',
      answer: z.strictObject({ site: z.string(), fetches: z.array(FETCH_SUMMARY) }),
    }),
    async ({ params: { site } }, reply): Promise<{ site: string; fetches: readonly FetchSummary[] }> => {
      const peer = peerOf(services, site)
      if (peer === undefined) {
        const own = [...services.readFetches()].map(([tree, view]) => summaryOf(tree, view))
        return { site, fetches: own }
      }
      const { fetches } = await ask(
        services,
        { site, peer, signal: signalOf(reply) },
        { ask: 'fetches' },
        FETCHES,
      )
      return { site, fetches }
    },
  )
  app.get<{ Params: { site: string; tree: string } }>(
    '/api/v1/sites/:site/fetches/:tree',
    says({ summary: 'One of them: each peer and each active segment', scope: 'read', answer: FETCH }),
    async ({ params: { site, tree } }, reply): Promise<FetchDocument> => {
      const peer = peerOf(services, site)
      const view = services.readFetches().get(tree)
      if (peer === undefined && view !== undefined) return fetchDocument(tree, view)
      if (peer === undefined) throw new MirrorError('not-found', `${tree} is not being fetched here`)
      const question: Question = { ask: 'fetch', tree }
      return await ask(services, { site, peer, signal: signalOf(reply) }, question, FETCH.strip())
    },
  )
}

/** Undefined: this very site. @throws MirrorError `not-found` */
function peerOf({ ledger, readSelf }: Services, site: string): string | undefined {
  if (site === readSelf().site) return undefined
  const found = [...ledger.state().members.values()].find((member) => member.isActive && member.site === site)
  if (found !== undefined) return found.peer
  throw new MirrorError('not-found', `the mesh has no site ${JSON.stringify(site.slice(0, 64))}`, {
    hint: 'See: mirrormesh status',
  })
}

/**
 * Of a site that is no neighbour a connection is made for it, through a member that relays where that is the way: the answer is
 * that site's own word, and goes by what the asker may read, whoever carries it.
 * @throws MirrorError `unreachable` when it cannot be reached, `refused` with the peer's reason, `timed-out`, `corrupt`
 */
async function ask<T extends z.ZodType>(
  { host, reach, clock }: Services,
  { site, peer, signal }: { readonly site: string; readonly peer: string; readonly signal: AbortSignal },
  question: Question,
  schema: T,
): Promise<z.output<T>> {
  const patience = new AbortController()
  const cancel = clock.after(TIMEOUT_MS, () => {
    patience.abort(new MirrorError('timed-out', `${site} did not answer within ${TIMEOUT_MS / 1000} s`))
  })
  const ends = AbortSignal.any([signal, patience.signal])
  try {
    await reach(peer, ends).catch((error) => {
      ends.throwIfAborted()
      throw new MirrorError('unreachable', `${site} cannot be reached from here: ${messageOf(error)}`, {
        cause: error,
        facts: { site },
        hint: 'What it said last: mirrormesh status. Or ask a node that is connected to it.',
      })
    })
    const bytes = await host.ask(peer, encodeQuestion(question), ends)
    const read = schema.safeParse(parsed(bytes))
    if (read.success) return read.data
    throw new MirrorError('corrupt', `${site} answered what cannot be read`, { facts: { site } })
  } finally {
    cancel()
  }
}

function messageOf(error: unknown): string {
  return asMirrorError(error, 'connect').message
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decodeUtf8(bytes) ?? '')
  } catch {
    return undefined
  }
}
