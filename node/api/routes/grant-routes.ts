/** /api/v1/grants: what admins lend to other keys. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { GRANT_ROLES, OPERATOR_RIGHTS } from '../../../src/record/kinds/grant.ts'
import { type Grant, grantsAt } from '../../../src/record/mesh-state.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'

export const GRANT_DOCUMENT = z.strictObject({
  peer: z.string(),
  /** Of the member with that key; null when it is none. */
  site: z.string().nullable(),
  name: z.string(),
  role: z.enum(GRANT_ROLES),
  trees: z.array(z.string()),
  /** Of an operator; else empty. */
  may: z.array(z.enum(OPERATOR_RIGHTS)),
  expiresMs: z.int().nullable(),
  /** `revoked`: the key has been ended, and all its grants with it. */
  state: z.enum(['active', 'expired', 'removed', 'revoked']),
  version: z.int(),
  /** The admin's key that signed it. */
  issuer: z.string(),
  timeMs: z.int(),
  record: z.string(),
  /** The last record of the key that this node knows: from where on a next version decides. */
  chain: z.strictObject({ counter: z.int(), last: z.string().nullable() }),
})

export type GrantDocument = Readonly<z.infer<typeof GRANT_DOCUMENT>>

export function addGrantRoutes(app: FastifyInstance, services: Services): void {
  app.get(
    '/api/v1/grants',
    says({
      summary: 'What admins lend to other keys, tombstones included',
      scope: 'read',
      answer: z.strictObject({ grants: z.array(GRANT_DOCUMENT) }),
    }),
    () => {
      const grants = [...services.ledger.state().grants.values()].flatMap((own) =>
        own.map((grant) => describe(services, grant)),
      )
      return { grants: grants.toSorted((a, b) => compare(a, b)) }
    },
  )
}

function describe({ ledger, clock }: Services, grant: Grant): GrantDocument {
  const { peer, body, origin } = grant
  const state = ledger.state()
  const tip = ledger.tip(body.grants[0]!)
  return {
    peer,
    site: state.members.get(peer)?.site ?? null,
    name: body.name,
    role: body.role,
    trees: [...body.trees],
    may: [...body.may],
    expiresMs: body.expiresMs,
    state: body.removed
      ? 'removed'
      : state.revoked.has(peer)
        ? 'revoked'
        : grantsAt(state, peer, clock.nowMs()).includes(grant)
          ? 'active'
          : 'expired',
    version: body.version,
    issuer: origin.issuer,
    timeMs: origin.timeMs,
    record: origin.record.toString(),
    chain: { counter: tip?.counter ?? 0, last: tip?.id.toString() ?? null },
  }
}

function compare(a: GrantDocument, b: GrantDocument): number {
  const [first, second] = [a, b].map(({ name, role, peer }) => `${name}\0${role}\0${peer}`)
  return first! < second! ? -1 : 1
}
