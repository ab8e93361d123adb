/** /api/v1: this node, the status of the mesh, the records that admins sign, pins. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'
import { cidFromDigest, DAG_CBOR } from '../../../src/block/cid.ts'
import { publicKeyOf } from '../../../src/record/key.ts'
import type { PinBody } from '../../../src/record/kinds/pin.ts'
import { decodeStored } from '../../../src/record/record.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { ChainDocument, PinDocument } from '../answers.ts'
import { parseBody, parseQuery } from '../parse.ts'
import { checkPinRights } from '../pin-rights.ts'
import { isMet, listedAs, listTag, refuseStale } from '../precondition.ts'
import { says } from '../route-spec.ts'
import { STATUS } from '../schema/status-schema.ts'
import { CHAIN, PIN, SELF } from '../schema/tree-schema.ts'
import { RECORD_SCOPE, recordKind } from '../scopes.ts'
import type { Services } from '../services.ts'

const NEW_RECORD = z.object({ record: z.string().min(1).describe('signed, in base64') })
const NEXT_VERSION = z.object({
  kind: z.string().min(1),
  name: z.string().min(1),
  tree: z.string().optional().describe('of a tag'),
})

export function addMeshRoutes(app: FastifyInstance, services: Services): void {
  const { ledger, clock } = services

  async function submit(bytes: Uint8Array): ReturnType<typeof ledger.submit> {
    const { content } = decodeStored(bytes)
    if (content.kind === 'pin') checkPinRights(ledger.state(), content.body, clock.nowMs())
    return ledger.submit(bytes)
  }

  app.get('/api/v1/self', says({ summary: 'This node', scope: 'read', answer: SELF }), () =>
    services.readSelf(),
  )
  app.get(
    '/api/v1/status',
    says({
      summary: 'The status document: sites, trees by site, traffic, alarms',
      scope: 'read',
      answer: STATUS,
    }),
    () => services.readStatus(),
  )

  app.get<{ Params: { peer: string } }>(
    '/api/v1/chain/:peer',
    says({ summary: 'Where the next record of a key goes on from', scope: 'read', answer: CHAIN }),
    ({ params }): ChainDocument => {
      const tip = ledger.tip(publicKeyOf(params.peer))
      return {
        mesh: ledger.mesh.toString(),
        counter: tip?.counter ?? 0,
        prev: tip?.id.toString() ?? null,
      }
    },
  )

  app.post(
    '/api/v1/records',
    says({
      summary: 'Brings a signed record into the mesh',
      scope: RECORD_SCOPE,
      body: NEW_RECORD,
      answer: z.strictObject({ id: z.string() }),
      status: 201,
      otherwise: { 412: 'the list that tells of such records is not as If-Match says any more' },
    }),
    async (request, reply) => {
      const { record } = parseBody(NEW_RECORD, request.body)
      const bytes = new Uint8Array(Buffer.from(record, 'base64'))
      if (bytes.length === 0) throw new MirrorError('invalid', 'record is not base64')
      const listed = listedAs(recordKind(record))
      const tag = listed === undefined ? undefined : listTag(ledger.state(), listed)
      if (!isMet(request, tag)) return refuseStale(reply)
      const { id } = await submit(bytes).catch((error) => {
        // What a client sends and cannot be read is its fault, not damage here.
        if (!isMirrorError(error, 'corrupt')) throw error
        throw new MirrorError('invalid', `not a record: ${error.message}`, { cause: error })
      })
      reply.code(201)
      return { id: id.toString() }
    },
  )

  app.get(
    '/api/v1/next-version',
    says({
      summary: 'The version that a new record of a kind and name needs',
      scope: 'read',
      query: NEXT_VERSION,
      answer: z.strictObject({ version: z.int() }),
    }),
    async ({ url }) => {
      const { kind, name, tree } = parseQuery(NEXT_VERSION, url)
      return { version: (await highestVersion(services, kind, name, tree)) + 1 }
    },
  )

  app.get(
    '/api/v1/pins',
    says({ summary: 'The pins', scope: 'read', answer: z.strictObject({ pins: z.array(PIN) }) }),
    (_, reply) => {
      reply.header('etag', listTag(ledger.state(), 'pin'))
      let status: StatusDocument | undefined
      const fewestOf = (body: PinBody): Pick<PinDocument, 'fewest'> => {
        status ??= services.readStatus()
        const found = services.copiesOfPin(body, status)
        return found === undefined ? {} : { fewest: { tree: found.tree, verified: found.verified } }
      }
      const pins = [...ledger.state().pins.values()].map(
        ({ body }): PinDocument => ({
          name: body.name,
          tree: body.tree,
          sites: body.sites,
          checkout: body.checkout ?? null,
          ...(body.versions === undefined ? {} : { versions: body.versions }),
          ...(body.keep === undefined ? {} : { keep: body.keep }),
          ...(body.copies === undefined ? {} : { copies: body.copies, ...fewestOf(body) }),
          ...(body.priority === undefined ? {} : { priority: body.priority }),
          ...(body.class === undefined ? {} : { class: body.class }),
          ...(body.paths === undefined ? {} : { paths: body.paths }),
          version: body.version,
        }),
      )
      return { pins: pins.toSorted((a, b) => (a.name < b.name ? -1 : 1)) }
    },
  )
}

/**
 * Of all records of this kind and name, removed ones included: the mesh's state forgets those, and a new record with a
 * lower version than a tombstone would change nothing.
 */
async function highestVersion(
  { ledger }: Services,
  kind: string,
  name: string,
  tree: string | undefined,
): Promise<number> {
  let highest = 0
  let looked = 0
  for (const id of [...ledger.ids()]) {
    // A million of them take a second or two, which others have to be heard in.
    if (++looked % 4096 === 0) await nextTurn()
    const record = ledger.record(cidFromDigest(DAG_CBOR, id))
    const content = record?.content
    if (content === undefined || content.kind !== kind) continue
    const isSame =
      (content.kind === 'pin' && content.body.name === name) ||
      (content.kind === 'tree' && content.body.name === name) ||
      (content.kind === 'site' && content.body.site === name) ||
      content.kind === 'topology' ||
      (content.kind === 'verdict' && content.body.tree === name) ||
      (content.kind === 'tag' && content.body.tag === name && content.body.tree === tree)
    if (isSame) highest = Math.max(highest, content.body.version)
  }
  return highest
}
