/**
 * POST /api/v1/operator/records: this node signs with its own key what a grant of the admins lets that key say: pins, tags
 * and drains as an operator, a new tree with itself as publisher. The record is judged as every node would judge it
 * before it is signed, so nothing leaves here that would not count.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../../src/base/errors.ts'
import type { Cid } from '../../../src/block/cid.ts'
import { decodeCbor } from '../../../src/block/codec.ts'
import { type Bodies, decodeBody } from '../../../src/record/content.ts'
import { MAX_RECORD_BYTES } from '../../../src/record/record.ts'
import { parseBody } from '../parse.ts'
import { checkPinRights } from '../pin-rights.ts'
import { says } from '../route-spec.ts'
import { LENT_SCOPE } from '../scopes.ts'
import type { Services } from '../services.ts'

/** Those that a grant can be about. */
export const LENT_KINDS = ['epoch', 'pin', 'site', 'tag', 'tree'] as const
export type LentKind = (typeof LENT_KINDS)[number]

export const OPERATOR_RECORD = z.strictObject({
  kind: z.enum(LENT_KINDS),
  /** The record's body (docs/formats.md) as canonical dag-cbor, in base64. */
  body: z
    .base64()
    .min(1)
    .max(MAX_RECORD_BYTES * 2),
})

export function addOperatorRoutes(
  app: FastifyInstance,
  { issueAsNode, readSelf, ledger, clock }: Services,
): void {
  app.post(
    '/api/v1/operator/records',
    says({
      summary: 'Signs with the key of this node what a grant lets it say',
      scope: LENT_SCOPE,
      body: OPERATOR_RECORD,
      status: 201,
      answer: z.strictObject({ id: z.string(), issuer: z.string() }),
    }),
    async ({ body }, reply) => {
      const { kind, body: text } = parseBody(OPERATOR_RECORD, body)
      const id = await issue(kind, new Uint8Array(Buffer.from(text, 'base64')))
      reply.code(201)
      return { id: id.toString(), issuer: readSelf().peer }
    },
  )

  function issue<K extends LentKind>(kind: K, bytes: Uint8Array): Promise<Cid> {
    const body = readBody(kind, bytes)
    if (kind === 'pin') checkPinRights(ledger.state(), body as Bodies['pin'], clock.nowMs())
    return issueAsNode(kind, body)
  }
}

function readBody<K extends LentKind>(kind: K, bytes: Uint8Array): Bodies[K] {
  try {
    return decodeBody(kind, decodeCbor(bytes, kind, MAX_RECORD_BYTES))
  } catch (error) {
    throw new MirrorError('invalid', `not the body of a ${kind} record: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
