/**
 * /api/v1/topology: what is declared of the links, and beside it what this node measures to the members it is connected to.
 * /api/v1/topology/plan: what a file of it would change; the record is the client's to sign.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { pathClass } from '../../../src/topology/path-class.ts'
import { NO_TOPOLOGY, pathBetween, type Topology } from '../../../src/topology/topology.ts'
import { topologyChanges } from '../../topology/changes.ts'
import { parseTopologyFile } from '../../topology/read-file.ts'
import { warningsOf } from '../../topology/warnings.ts'
import type { MeasuredPath, TopologyDocument } from '../answers.ts'
import { parseBody } from '../parse.ts'
import { listTag } from '../precondition.ts'
import { says } from '../route-spec.ts'
import { TOPOLOGY, TOPOLOGY_LINKS } from '../schema/fetch-schema.ts'
import type { Services } from '../services.ts'

const MAX_TEXT_CHARACTERS = 512 * 1024
/** As messages name what was sent. */
const FILE = 'topology'

const NEW_PLAN = z.strictObject({
  text: z.string().max(MAX_TEXT_CHARACTERS).describe('as `topology apply` reads it: YAML or JSON'),
})

export const TOPOLOGY_PLAN = z.strictObject({
  /** To be signed, with the next version. */
  topology: TOPOLOGY_LINKS,
  changes: z.array(
    z.strictObject({
      change: z.enum(['added', 'removed', 'changed']),
      part: z.enum(['region', 'site', 'path']),
      name: z.string(),
      before: z.string().nullable(),
      after: z.string().nullable(),
    }),
  ),
  warnings: z.array(z.string()),
  /** Of what is declared now: sent as If-Match with the record, it makes sure that nobody else declares anything meanwhile. */
  etag: z.string(),
})

export type TopologyPlan = Readonly<z.infer<typeof TOPOLOGY_PLAN>>

export function addTopologyRoutes(app: FastifyInstance, services: Services): void {
  app.get(
    '/api/v1/topology',
    says({ summary: 'Declared links, and what this node measures', scope: 'read', answer: TOPOLOGY }),
    (_, reply) => {
      reply.header('etag', listTag(services.ledger.state(), 'topology'))
      return describeTopology(services)
    },
  )
  app.post(
    '/api/v1/topology/plan',
    says({
      summary: 'What a topology file would change of what is declared',
      scope: 'read',
      body: NEW_PLAN,
      answer: TOPOLOGY_PLAN,
    }),
    ({ body }): TopologyPlan => planTopology(services, parseBody(NEW_PLAN, body).text),
  )
}

function planTopology({ ledger }: Services, text: string): TopologyPlan {
  const state = ledger.state()
  const before = state.topology?.body
  const sites = new Map(
    [...state.members.values()].filter(({ isActive }) => isActive).map(({ site, region }) => [site, region]),
  )
  const known = { sites: new Set(sites.keys()), regions: new Set(sites.values()) }
  const file = parseTopologyFile(text, FILE, known)
  return {
    topology: linksOf(file.topology),
    changes: topologyChanges(before ?? NO_TOPOLOGY, file.topology),
    warnings: warningsOf(file, sites, before),
    etag: listTag(state, 'topology'),
  }
}

function linksOf({ regions, sites, paths }: Topology): z.infer<typeof TOPOLOGY_LINKS> {
  return {
    regions: [...regions],
    sites: sites.map(({ subnets, ...link }) => ({
      ...link,
      ...(subnets === undefined ? {} : { subnets: [...subnets] }),
    })),
    paths: paths.map(({ between: [a, b], ...link }) => ({ ...link, between: [a, b] })),
  }
}

function describeTopology({ ledger, host, rates, readSelf }: Services): TopologyDocument {
  const state = ledger.state()
  const { site, region } = readSelf()
  const self = { site, region }
  const declared = state.topology
  const topology = declared?.body ?? NO_TOPOLOGY
  const connected = new Map(host.peers().map((peer) => [peer.peer, peer]))
  const paths = [...state.members.values()]
    .filter((member) => member.isActive && connected.has(member.peer))
    .map((member): MeasuredPath => {
      const info = connected.get(member.peer)!
      const path = pathBetween(topology, self, member)
      return {
        site: member.site,
        region: member.region,
        peer: member.peer,
        pathClass: pathClass(self, member),
        direction: info.direction,
        isRelayed: info.isRelayed === true,
        rttMs: info.rttMs === undefined ? null : Math.round(info.rttMs * 10) / 10,
        ...rates.of(member.peer),
        declaredRttMs: path?.rttMs ?? null,
        declaredKbit: path?.kbit ?? null,
        declaredCost: path?.cost ?? null,
      }
    })
  return {
    self,
    declared:
      declared === undefined
        ? null
        : {
            version: declared.body.version,
            regions: declared.body.regions,
            sites: declared.body.sites,
            paths: declared.body.paths,
          },
    issuer: declared?.origin.issuer ?? null,
    timeMs: declared?.origin.timeMs ?? null,
    measured: paths.toSorted((a, b) => (a.site < b.site ? -1 : a.site > b.site ? 1 : 0)),
  }
}
