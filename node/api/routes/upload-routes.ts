/** /api/v1/uploads: publishing through this node by a publisher that has none. Blocks travel as they are, all else as JSON. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'
import { isTreeName } from '../../../src/base/names.ts'
import type { Block } from '../../../src/block/block.ts'
import { CID_KEY_BYTES, type Cid, cidFromKeyBytes, parseCid } from '../../../src/block/cid.ts'
import { parseBody } from '../parse.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'
import { signalOf } from './tree-routes.ts'

/** Of one request with blocks, and of one question about them. */
export const MAX_UPLOAD_BYTES = 8 * 1024 * 1024
export const MAX_ASKED_CIDS = 4096

const BASE64 = z.base64().min(1).max(262_144)
const OPENING = z.strictObject({
  tree: z.string().refine(isTreeName, 'is not the name of a tree'),
  publisher: z.string().min(1).max(64),
  timeMs: z.int().min(0),
  signature: z.base64().describe('Ed25519, docs/formats.md'),
  records: z
    .array(BASE64)
    .max(2)
    .default([])
    .describe('tree and epoch, when the publisher creates it by a grant'),
})
const OPENED = z.strictObject({
  id: z.string(),
  /** The newest head. */
  sequence: z.int().nullable(),
  /** Its snapshot, where it is stored here: the block, in base64. */
  snapshot: z.strictObject({ cid: z.string(), bytes: z.string() }).nullable(),
  inlineBytes: z
    .int()
    .describe(
      'Up to this size, files of a first snapshot lie in their directories; 0 while a site cannot read that',
    ),
})
const ASKED = z.strictObject({ cids: BASE64.describe('33 bytes each: codec and BLAKE3 digest') })
const END = z.strictObject({
  snapshot: z.string().max(128),
  allowEmpty: z.boolean().default(false),
  acceptShrink: z.boolean().default(false),
})
const FINISHED = z.strictObject({
  epoch: z.int(),
  sequence: z.int(),
  previous: z.string().nullable(),
  isNew: z.boolean(),
  unjudged: z.array(z.string()),
})
const RECORD = z.strictObject({ record: BASE64 })

export type OpenedUploadDocument = z.infer<typeof OPENED>
export type FinishedUploadDocument = z.infer<typeof FINISHED>
type ById = { Params: { id: string } }

export function addUploadRoutes(app: FastifyInstance, { uploads }: Services): void {
  app.addContentTypeParser(
    'application/octet-stream',
    { parseAs: 'buffer', bodyLimit: MAX_UPLOAD_BYTES },
    (_request, body, done) => done(null, body),
  )
  const scope = 'operate'

  app.post(
    '/api/v1/uploads',
    says({
      summary: 'Begins a publish by a publisher that has no node, who proves its key',
      ...{ scope, body: OPENING, status: 201, answer: OPENED },
    }),
    async ({ body }, reply): Promise<OpenedUploadDocument> => {
      const { records, signature, ...asked } = parseBody(OPENING, body)
      const opened = await uploads.open({
        ...asked,
        signature: bytesOf(signature),
        records: records.map(bytesOf),
      })
      const { id, before, snapshot, chunker } = opened
      reply.code(201)
      return {
        id,
        sequence: before?.sequence ?? null,
        snapshot:
          before === undefined || snapshot === undefined
            ? null
            : { cid: before.snapshot.toString(), bytes: Buffer.from(snapshot).toString('base64') },
        inlineBytes: chunker.inlineBytes ?? 0,
      }
    },
  )
  app.post<ById>(
    '/api/v1/uploads/:id/missing',
    says({
      summary: 'Which of these blocks the node does not have for the tree, by their place in the list',
      ...{ scope, body: ASKED, answer: z.strictObject({ missing: z.array(z.int()) }) },
    }),
    async ({ params, body }) => {
      const has = await uploads.has(params.id, cidsOf(bytesOf(parseBody(ASKED, body).cids)))
      return { missing: has.flatMap((isThere, at) => (isThere ? [] : [at])) }
    },
  )
  app.put<ById>(
    '/api/v1/uploads/:id/blocks',
    {
      bodyLimit: MAX_UPLOAD_BYTES,
      ...says({
        summary: 'Stores blocks: each 33 bytes of CID, 4 of length, and its bytes',
        scope,
        status: 204,
      }),
    },
    async ({ params, body }, reply) => {
      if (!(body instanceof Uint8Array))
        throw new MirrorError('invalid', 'blocks come as application/octet-stream')
      const blocks = blocksIn(body)
      await uploads.put(params.id, blocks).catch(blameClient)
      return reply.code(204).send()
    },
  )
  app.post<ById>(
    '/api/v1/uploads/:id/finish',
    says({ summary: 'Proves the snapshot complete at the node', ...{ scope, body: END, answer: FINISHED } }),
    async ({ params, body }, reply): Promise<FinishedUploadDocument> => {
      const { snapshot, ...end } = parseBody(END, body)
      const wanted = { ...end, snapshot: readCid(snapshot) }
      const found = await uploads.finish(params.id, wanted, signalOf(reply)).catch(blameClient)
      return { ...found, previous: found.previous?.toString() ?? null, unjudged: [...found.unjudged] }
    },
  )
  app.post<ById>(
    '/api/v1/uploads/:id/head',
    says({
      summary: 'Brings the head that the publisher signed into the mesh, which ends the upload',
      ...{ scope, body: RECORD, status: 201, answer: z.strictObject({ id: z.string() }) },
    }),
    async ({ params, body }, reply) => {
      const { id } = await uploads.publish(params.id, bytesOf(parseBody(RECORD, body).record))
      reply.code(201)
      return { id: id.toString() }
    },
  )
  app.delete<ById>(
    '/api/v1/uploads/:id',
    says({ summary: 'Gives an upload up', scope, status: 204 }),
    ({ params }, reply) => {
      uploads.close(params.id)
      return reply.code(204).send()
    },
  )
}

/** What a client sends and is not what it says is its fault, not damage here. */
function blameClient(error: unknown): never {
  if (!isMirrorError(error, 'corrupt')) throw error
  throw new MirrorError('invalid', error.message, { cause: error })
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

function cidsOf(bytes: Uint8Array): Cid[] {
  const count = bytes.length / CID_KEY_BYTES
  if (!Number.isInteger(count) || count > MAX_ASKED_CIDS)
    throw new MirrorError('invalid', `cids are up to ${MAX_ASKED_CIDS} times ${CID_KEY_BYTES} bytes`)
  return Array.from({ length: count }, (_, i) => readKey(bytes.subarray(i * CID_KEY_BYTES)))
}

/** As `encodeBlocks` in node/publish-through.ts writes them. */
function blocksIn(body: Uint8Array): Block[] {
  const blocks: Block[] = []
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  for (let at = 0; at < body.length; ) {
    const start = at + CID_KEY_BYTES + 4
    const end = start > body.length ? Number.POSITIVE_INFINITY : start + view.getUint32(at + CID_KEY_BYTES)
    if (end > body.length) throw new MirrorError('invalid', 'a block is cut short')
    blocks.push({ cid: readKey(body.subarray(at)), bytes: body.subarray(start, end) })
    at = end
  }
  return blocks
}

function readKey(bytes: Uint8Array): Cid {
  try {
    return cidFromKeyBytes(bytes.slice(0, CID_KEY_BYTES))
  } catch (error) {
    throw new MirrorError('invalid', `not a CID: ${(error as Error).message}`, { cause: error })
  }
}

function readCid(text: string): Cid {
  try {
    return parseCid(text)
  } catch (error) {
    throw new MirrorError('invalid', `not a CID: ${JSON.stringify(text)}`, { cause: error })
  }
}
