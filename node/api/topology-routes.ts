/** /api/v1/topology: what is declared of the links, and beside it what this node measures to the members it is connected to. */
import type { FastifyInstance } from 'fastify'
import { pathClass } from '../../src/topology/path-class.ts'
import { NO_TOPOLOGY, pathBetween } from '../../src/topology/topology.ts'
import type { MeasuredPath, TopologyDocument } from './answers.ts'
import { listTag } from './precondition.ts'
import { says } from './route-spec.ts'
import { TOPOLOGY } from './schema/fetch-schema.ts'
import type { Services } from './services.ts'

export function addTopologyRoutes(app: FastifyInstance, services: Services): void {
  app.get(
    '/api/v1/topology',
    says({ summary: 'Declared links, and what this node measures', scope: 'read', answer: TOPOLOGY }),
    (_, reply) => {
      reply.header('etag', listTag(services.ledger.state(), 'topology'))
      return describeTopology(services)
    },
  )
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
