/**
 * /api/v1/invites: who may come, and letting one more site come. The record is signed by an admin, wherever the key is; the token
 * that a newcomer needs is made here of it and of its secret, when the secret comes along. Neither is kept.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'
import { encodeInviteToken, INVITE_SECRET_BYTES, inviteSecretHash } from '../../../src/record/invite-token.ts'
import { publicKeyOf } from '../../../src/record/key.ts'
import type { Invite } from '../../../src/record/mesh-state.ts'
import { decodeStored } from '../../../src/record/record.ts'
import { parseBody } from '../parse.ts'
import { says } from '../route-spec.ts'
import type { InviteDocument } from '../schema/member-answers.ts'
import { INVITE } from '../schema/member-schema.ts'
import type { Services } from '../services.ts'

const MAX_ADDRESSES = 16
const NEW_INVITE = z.strictObject({
  record: z.base64().min(1).describe('of the kind invite, signed by an admin, whose admitter is this node'),
  secret: z.base64url().length(43).describe('32 bytes: for the token').exactOptional(),
  addresses: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(MAX_ADDRESSES)
    .describe('where the newcomer reaches this node; what it announces when absent')
    .exactOptional(),
})

export function addInviteRoutes(app: FastifyInstance, { ledger, clock, readSelf }: Services): void {
  app.get(
    '/api/v1/invites',
    says({
      summary: 'Every invite: open, used, expired or withdrawn',
      scope: 'read',
      answer: z.strictObject({ invites: z.array(INVITE) }),
    }),
    () => {
      const invites = [...ledger.state().invites.values()].map((invite) =>
        describeInvite(invite, clock.nowMs()),
      )
      return { invites: invites.toSorted((a, b) => b.timeMs - a.timeMs || (a.id < b.id ? -1 : 1)) }
    },
  )

  app.post(
    '/api/v1/invites',
    says({
      summary: 'Brings a signed invite into the mesh, and makes the token of it',
      scope: 'admin',
      body: NEW_INVITE,
      status: 201,
      answer: z.strictObject({ invite: INVITE, token: z.string().nullable() }),
    }),
    async ({ body }, reply) => {
      const { record, secret: secretText, addresses } = parseBody(NEW_INVITE, body)
      const bytes = new Uint8Array(Buffer.from(record, 'base64'))
      const said = readInvite(bytes)
      const self = readSelf()
      const admitter = publicKeyOf(self.peer)
      if (!same(said.admitter, admitter)) {
        throw new MirrorError(
          'invalid',
          'the invite is to be carried out by another node: give it to that one',
          {
            facts: { peer: self.peer },
          },
        )
      }
      // All that can be wrong with the token is found before the record counts.
      const secret = secretText === undefined ? undefined : secretOf(secretText, said.secretHash)
      const addrs = addresses ?? self.addresses.filter((each) => !each.includes('/p2p-circuit'))
      if (secret !== undefined && addrs.length === 0) {
        throw new MirrorError('invalid', 'this node listens nowhere, so nobody can join through it', {
          hint: 'Set `listen` in its config file, or send addresses along.',
        })
      }
      const taken = [...ledger.state().members.values()].find(
        (each) => each.isActive && each.site === said.site,
      )
      if (taken !== undefined) {
        throw new MirrorError('conflict', `there is a site ${said.site} already: its node is ${taken.peer}`, {
          hint: 'A site has one node. Choose another name.',
        })
      }
      const { id } = await ledger.submit(bytes)
      const invite = ledger.state().invites.get(id.toString())
      if (invite === undefined) throw new MirrorError('refused', 'the invite does not count in this mesh')
      const { site, region, expiresMs } = said
      const token =
        secret === undefined
          ? null
          : encodeInviteToken({
              ...{ mesh: ledger.mesh, peer: admitter, addrs: addrs.slice(0, MAX_ADDRESSES) },
              ...{ secret, invite: id, site, region, expiresMs },
            })
      reply.code(201)
      return { invite: describeInvite(invite, clock.nowMs()), token }
    },
  )
}

function readInvite(bytes: Uint8Array): Invite['body'] {
  try {
    const { content } = decodeStored(bytes)
    if (content.kind === 'invite') return content.body
  } catch (error) {
    if (!isMirrorError(error, 'corrupt')) throw error
    throw new MirrorError('invalid', `not a record: ${error.message}`, { cause: error })
  }
  throw new MirrorError('invalid', 'the record is not an invite', {
    hint: 'Others go to POST /api/v1/records.',
  })
}

function secretOf(text: string, hash: Uint8Array): Uint8Array {
  const secret = new Uint8Array(Buffer.from(text, 'base64url'))
  if (secret.length === INVITE_SECRET_BYTES && same(inviteSecretHash(secret), hash)) return secret
  throw new MirrorError('invalid', 'secret is not that of the invite', { facts: { field: 'secret' } })
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function describeInvite(
  { id, admitter, body, usedBy, isWithdrawn, origin }: Invite,
  nowMs: number,
): InviteDocument {
  return {
    id: id.toString(),
    site: body.site,
    region: body.region,
    roles: body.roles,
    admitter,
    expiresMs: body.expiresMs,
    state: isWithdrawn
      ? 'withdrawn'
      : usedBy !== undefined
        ? 'used'
        : nowMs > body.expiresMs
          ? 'expired'
          : 'open',
    usedBy: usedBy ?? null,
    issuer: origin.issuer,
    timeMs: origin.timeMs,
  }
}
