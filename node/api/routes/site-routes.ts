/** /api/v1/sites: what admins say of sites beside their membership: labels, and which are drained. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { DeclaredSite, MeshState } from '../../../src/record/mesh-state.ts'
import { listTag } from '../precondition.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'

export const SITE_DOCUMENT = z.strictObject({
  site: z.string(),
  /** Null where no active member is. */
  region: z.string().nullable(),
  peer: z.string().nullable(),
  labels: z.array(z.string()),
  drained: z.boolean(),
  note: z.string(),
  /** Of the record; null when there is none. */
  version: z.int().nullable(),
  issuer: z.string().nullable(),
  timeMs: z.int().nullable(),
})

export type SiteDocument = Readonly<z.infer<typeof SITE_DOCUMENT>>

export function addSiteRoutes(app: FastifyInstance, { ledger }: Services): void {
  app.get(
    '/api/v1/sites',
    says({
      summary: 'Sites with their labels, and which are drained',
      scope: 'read',
      answer: z.strictObject({ sites: z.array(SITE_DOCUMENT) }),
    }),
    (_, reply) => {
      reply.header('etag', listTag(ledger.state(), 'site'))
      return { sites: listSites(ledger.state()) }
    },
  )
}

/** Those that are members, and those that are only spoken of, by name. */
function listSites(state: MeshState): SiteDocument[] {
  const sites = new Map<string, SiteDocument>()
  for (const [site, said] of state.sites) sites.set(site, describe(site, null, null, said))
  for (const { site, region, peer, isActive } of state.members.values()) {
    if (isActive) sites.set(site, describe(site, region, peer, state.sites.get(site)))
  }
  return [...sites.values()].toSorted((a, b) => (a.site < b.site ? -1 : 1))
}

function describe(
  site: string,
  region: string | null,
  peer: string | null,
  said: DeclaredSite | undefined,
): SiteDocument {
  return {
    site,
    region,
    peer,
    labels: [...(said?.body.labels ?? [])],
    drained: said?.body.drained ?? false,
    note: said?.body.note ?? '',
    version: said?.body.version ?? null,
    issuer: said?.origin.issuer ?? null,
    timeMs: said?.origin.timeMs ?? null,
  }
}
