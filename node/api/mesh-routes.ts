/** /api/v1: this node, the status of the mesh, the records that admins sign, pins. */
import type { FastifyInstance } from 'fastify'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { cidFromDigest, DAG_CBOR } from '../../src/block/cid.ts'
import { publicKeyOf } from '../../src/record/key.ts'
import type { ChainDocument, PinDocument } from './answers.ts'
import { readQuery, textOf } from './query.ts'
import { says } from './route-spec.ts'
import { RECORD_SCOPE } from './scopes.ts'
import type { Services } from './services.ts'

export function addMeshRoutes(app: FastifyInstance, services: Services): void {
  const { ledger } = services

  app.get('/api/v1/self', says({ summary: 'This node', scope: 'read' }), () => services.readSelf())
  app.get(
    '/api/v1/status',
    says({ summary: 'The status document: sites, trees by site, traffic, alarms', scope: 'read' }),
    () => services.readStatus(),
  )

  app.get<{ Params: { peer: string } }>(
    '/api/v1/chain/:peer',
    says({ summary: 'Where the next record of a key goes on from', scope: 'read' }),
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
    says({ summary: 'Brings a signed record into the mesh', scope: RECORD_SCOPE, status: 201 }),
    async ({ body }, reply) => {
      const record = textOf(body, 'record')
      const bytes = new Uint8Array(Buffer.from(record, 'base64'))
      if (bytes.length === 0) throw new MirrorError('invalid', 'record is not base64')
      const { id } = await ledger.submit(bytes).catch((error) => {
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
    says({ summary: 'The version that a new record of a kind and name needs', scope: 'read' }),
    async ({ url }) => {
      const query = readQuery(url)
      const kind = query.text('kind')
      const name = query.text('name')
      const tree = query.optionalText('tree')
      return { version: (await highestVersion(services, kind, name, tree)) + 1 }
    },
  )

  app.get('/api/v1/pins', says({ summary: 'The pins', scope: 'read' }), () => {
    const pins = [...ledger.state().pins.values()].map(
      ({ body }): PinDocument => ({
        name: body.name,
        tree: body.tree,
        sites: body.sites,
        checkout: body.checkout ?? null,
        ...(body.versions === undefined ? {} : { versions: body.versions }),
        ...(body.keep === undefined ? {} : { keep: body.keep }),
        ...(body.priority === undefined ? {} : { priority: body.priority }),
        ...(body.class === undefined ? {} : { class: body.class }),
        ...(body.paths === undefined ? {} : { paths: body.paths }),
        version: body.version,
      }),
    )
    return { pins: pins.toSorted((a, b) => (a.name < b.name ? -1 : 1)) }
  })
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
  for (const id of ledger.ids()) {
    const record = ledger.record(cidFromDigest(DAG_CBOR, id))
    const content = record?.content
    if (content === undefined || content.kind !== kind) continue
    const isSame =
      (content.kind === 'pin' && content.body.name === name) ||
      (content.kind === 'tree' && content.body.name === name) ||
      (content.kind === 'site' && content.body.site === name) ||
      content.kind === 'topology' ||
      (content.kind === 'tag' && content.body.tag === name && content.body.tree === tree)
    if (isSame) highest = Math.max(highest, content.body.version)
  }
  return highest
}
