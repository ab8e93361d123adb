/** /api/v1/trees: what there is, its history, and reading inside snapshots. Long answers are one JSON line an item. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { printableName } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import type { Entry } from '../../../src/dag/entry.ts'
import { diff, lookUp } from '../../../src/dag/reader.ts'
import { peerIdOf } from '../../../src/record/key.ts'
import type { Head, TreeState } from '../../../src/record/mesh-state.ts'
import { createFileReader } from '../../../src/tree/read-file.ts'
import { leftOut } from '../../left-out.ts'
import { checkInside } from '../access.ts'
import type { DiffHeader, HeadDocument, ResolvedPath, TreeDocument } from '../answers.ts'
import { describeChange, joinPath } from '../describe.ts'
import { findHead, findShown, findTree, placeOf } from '../find-snapshot.ts'
import { cursorOf, PAGE_QUERY, readCursor } from '../page.ts'
import { parseQuery, RAW } from '../parse.ts'
import { listTag } from '../precondition.ts'
import { problemOf } from '../problem.ts'
import { readQuery, splitPath } from '../query.ts'
import { says } from '../route-spec.ts'
import { PROBLEM } from '../schema/job-schema.ts'
import { DIFF_HEADER, DIFF_LINE, HEAD, PLACE, RESOLVED, TREE } from '../schema/tree-schema.ts'
import { DIFF_SCOPE } from '../scopes.ts'
import type { Services } from '../services.ts'
import { diffWithDirectory } from './diff-directory-route.ts'

export type TreeRequest = FastifyRequest<{ Params: { tree: string } }>

const MAX_HISTORY = 10_000

const REF = z.object({ ref: z.string().optional().describe('a sequence, a tag or head') })
export const REF_PATH = REF.extend({
  path: RAW.describe('within the tree; its bytes, percent-encoded, need not be UTF-8'),
})
const ONE_QUERY = z.object({
  removed: z.enum(['true', 'false']).optional().describe('true: a deleted one too'),
})
const DIFF_QUERY = REF.extend({
  toTree: z.string().optional(),
  toRef: z.string().optional(),
  dir: RAW.describe('a folder of the machine of the node, to compare with'),
  checksum: z.enum(['true', 'false']).optional().describe('with dir: read files'),
  ignore: z.string().optional().describe('with dir: a JSON list of patterns'),
})
/** The last line of an answer that could not be finished. */
export const BROKEN_OFF = z.strictObject({ problem: PROBLEM })

export function addTreeRoutes(app: FastifyInstance, services: Services): void {
  const { ledger, blocks } = services

  app.get(
    '/api/v1/trees',
    says({ summary: 'Every tree', scope: 'read', answer: z.strictObject({ trees: z.array(TREE) }) }),
    (_, reply) => {
      reply.header('etag', listTag(ledger.state(), 'tree'))
      const trees = [...ledger.state().trees.values()].filter((tree) => !tree.body.removed).map(describeTree)
      return { trees: trees.toSorted((a, b) => (a.tree < b.tree ? -1 : 1)) }
    },
  )
  app.get(
    '/api/v1/trees/:tree',
    says({ summary: 'One tree', scope: 'read', query: ONE_QUERY, answer: TREE }),
    ({ params, url }: TreeRequest) =>
      describeTree(
        findTree(services, params.tree, { orRemoved: parseQuery(ONE_QUERY, url).removed === 'true' }),
      ),
  )
  app.get(
    '/api/v1/trees/:tree/history',
    says({
      summary: 'Heads, newest first',
      scope: 'read',
      query: PAGE_QUERY,
      answer: z.strictObject({ heads: z.array(HEAD), cursor: z.string().nullable() }),
    }),
    ({ params, url }: TreeRequest) => {
      const { limit = 100, cursor } = parseQuery(PAGE_QUERY, url)
      const { history } = findTree(services, params.tree)
      const end = cursor === undefined ? history.length : endBefore(history, readCursor(cursor))
      const start = Math.max(0, end - Math.min(limit, MAX_HISTORY))
      return {
        heads: history.slice(start, end).reverse().map(describeHead),
        cursor: start === 0 ? null : cursorOf(String(history[start]!.sequence)),
      }
    },
  )
  app.get(
    '/api/v1/trees/:tree/place',
    says({ summary: 'Which head a reference means', scope: 'read', query: REF, answer: PLACE }),
    ({ params, url }: TreeRequest) => placeOf(findHead(services, params.tree, parseQuery(REF, url).ref)),
  )
  app.get(
    '/api/v1/trees/:tree/resolve',
    says({ summary: 'What a path is', scope: 'read', query: REF_PATH, answer: RESOLVED }),
    async (request: TreeRequest, reply): Promise<ResolvedPath> => {
      const { params } = request
      const { place, entry } = await find(request, signalOf(reply))
      return {
        ...place,
        type: entry.type,
        name: entry.name.length === 0 ? params.tree.split('/').at(-1)! : printableName(entry.name),
        mode: entry.mode,
        mtimeSec: entry.mtimeSec,
        mtimeNsec: entry.mtimeNsec,
        ...(entry.type === 'file' ? { sizeBytes: entry.sizeBytes } : {}),
        ...(entry.type === 'symlink' ? { target: printableName(entry.target) } : {}),
      }
    },
  )

  app.get(
    '/api/v1/trees/:tree/file',
    says({ summary: 'The bytes of a file, verified', scope: 'read', query: REF_PATH, answerAs: 'bytes' }),
    async (request: TreeRequest, reply) => {
      const signal = signalOf(reply)
      const { entry, path } = await find(request, signal)
      if (entry.type !== 'file') {
        throw new MirrorError('invalid', `${joinPath(path)} is a ${entry.type}, not a file`)
      }
      reply.header('content-type', 'application/octet-stream').header('content-length', entry.sizeBytes)
      return reply.send(
        Readable.from(createFileReader({ blocks }).read(entry, undefined, signal), { objectMode: false }),
      )
    },
  )

  app.get(
    '/api/v1/trees/:tree/diff',
    says({
      summary: 'What changed, one line a path',
      scope: DIFF_SCOPE,
      query: DIFF_QUERY,
      answer: z.union([DIFF_HEADER, DIFF_LINE, BROKEN_OFF]),
      answerAs: 'lines',
    }),
    async (request: TreeRequest, reply) => {
      const query = parseQuery(DIFF_QUERY, request.url)
      const held = signalOf(reply)
      checkInside(request.access, ledger.state(), request.params.tree)
      if (query.dir !== undefined) {
        const { header, changes } = await diffWithDirectory(services, request.params.tree, request.url, held)
        return sendLines(services, request, reply, header, changes)
      }
      const from = await findShown(services, request.params.tree, query.ref, held)
      const toTree = query.toTree ?? request.params.tree
      checkInside(request.access, ledger.state(), toTree)
      const to = await findShown(services, toTree, query.toRef, held)
      const header: DiffHeader = { from: from.place, to: to.place }
      return sendLines(services, request, reply, header, async function* (signal) {
        for await (const change of diff(blocks, from.whole.root, to.whole.root, signal)) {
          yield describeChange(change, true)
        }
      })
    },
  )

  function find(request: TreeRequest, held: AbortSignal) {
    return findPath(services, request, held, readQuery(request.url).optionalText('ref'))
  }
}

/**
 * What lies at the `path` of the request, in the snapshot that `ref` means.
 * @throws MirrorError `not-found` also for what this site leaves out, `refused` for a tree that the asker may not look into
 */
export async function findPath(
  services: Services,
  { access, params: { tree }, url }: TreeRequest,
  held: AbortSignal,
  ref: string | undefined,
) {
  const { ledger, blocks } = services
  checkInside(access, ledger.state(), tree)
  const { snapshot, whole, filter, place } = await findShown(services, tree, ref, held)
  const path = splitPath(readQuery(url).bytes('path'))
  const entry: Entry | undefined = await lookUp(blocks, snapshot.root, path)
  if (entry !== undefined) return { place, entry, path }
  if (filter !== undefined && (await lookUp(blocks, whole.root, path)) !== undefined)
    throw leftOut(`${tree}@${place.sequence}`, joinPath(path), filter)
  throw new MirrorError('not-found', `there is no ${joinPath(path)} in ${tree}@${place.sequence}`, {
    hint: `See: mirrormesh ls ${tree}@${place.sequence}`,
  })
}

/** Where the heads before that sequence end. */
function endBefore(history: readonly Head[], sequence: string): number {
  const end = history.findIndex((head) => head.sequence >= Number(sequence))
  return end < 0 ? history.length : end
}

/** Fires when the client goes away before it has everything. */
export function signalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    controller.abort(new MirrorError('aborted', 'the client closed the connection'))
  })
  return controller.signal
}

/** The header was sent long before an item can fail, so the failure is an item too: `{"problem": ...}`, the last. */
export function sendLines(
  { log }: Pick<Services, 'log'>,
  request: FastifyRequest,
  reply: FastifyReply,
  header: object,
  items: (signal: AbortSignal) => AsyncIterable<object>,
): FastifyReply {
  const signal = signalOf(reply)
  async function* lines(): AsyncGenerator<string> {
    let batch = `${JSON.stringify(header)}\n`
    try {
      for await (const item of items(signal)) {
        batch += `${JSON.stringify(item)}\n`
        if (batch.length < 32_768) continue
        yield batch
        batch = ''
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error, url: request.url.slice(0, 512) }, 'api.answer-broken-off')
      batch += `${JSON.stringify({ problem: problemOf(error, 'read the snapshot') })}\n`
    }
    yield batch
  }
  return reply.header('content-type', 'application/x-ndjson').send(Readable.from(lines()))
}

function describeTree(tree: TreeState): TreeDocument {
  return {
    tree: tree.name,
    ...(tree.body.removed ? { isRemoved: true } : {}),
    version: tree.body.version,
    publishers: tree.body.publishers.map((key) => peerIdOf(key)),
    readers: tree.body.readers,
    kind: tree.body.kind ?? 'simple',
    gate: tree.body.gate ?? null,
    keep: tree.body.keep ?? null,
    epoch:
      tree.epoch === undefined
        ? null
        : { epoch: tree.epoch.epoch, id: tree.epoch.id.toString(), publisher: tree.epoch.publisher },
    head: tree.newest === undefined ? null : describeHead(tree.newest),
    tags: [...tree.tags.values()].map(({ body }) => ({
      tag: body.tag,
      sequence: body.sequence,
      snapshot: body.snapshot.toString(),
    })),
    encodings: (tree.encodings.get(tree.newest?.snapshot.toString() ?? '') ?? []).map(
      ({ body: { sequence, bytes, targetBytes, isComplete }, baseSequence }) => ({
        ...{ sequence, baseSequence, bytes, targetBytes, isComplete },
      }),
    ),
    isForked: tree.fork !== undefined,
    fork:
      tree.fork === undefined
        ? null
        : {
            kind: tree.fork.kind,
            epoch: tree.fork.epoch,
            sequence: tree.fork.sequence ?? null,
            records: tree.fork.records.map((id) => id.toString()),
            tips: tree.fork.tips.map(describeHead),
          },
  }
}

function describeHead(head: Head): HeadDocument {
  return {
    ...placeOf(head),
    id: head.id.toString(),
    publisher: head.publisher,
    timeMs: head.timeMs,
    files: head.counts.files ?? null,
    bytes: head.counts.bytes ?? null,
  }
}
