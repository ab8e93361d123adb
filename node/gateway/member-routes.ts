/**
 * What machines outside of the mesh fetch with (`mirrormesh get`): the same as members ask of each other, by the same rules,
 * over HTTP. Nothing of it has to be believed: records are signed, objects and blocks hash to what names them.
 *
 *   /_mesh/proof?path=/builds/x/...       the records that prove the heads and tags of the tree that the path is in:
 *                                         4 bytes length, big-endian, and the record, one after the other
 *   /_mesh/object?tree=T&cid=CID          a snapshot, or a node of a block index
 *   /_mesh/block?tree=T&page=CID&offset=N the block at this place of an index page; with `&zstd=1` as it rests: then
 *                                         `x-mirrormesh-plain-bytes` says its length once decoded
 *
 * There is no way to ask for a block by its CID: only pages that came here by a tree that the asker may see are served. No tree
 * is called `_mesh`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { MirrorError } from '../../src/base/errors.ts'
import { type Cid, parseCid } from '../../src/block/cid.ts'
import type { BlockServer } from '../../src/net/ports.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import type { Proof } from '../../src/replica/records/proofs.ts'
import { parseTarget, type RequestTarget } from './request-target.ts'
import type { Rights } from './rights.ts'
import { type SendOptions, sendPieces } from './send-body.ts'
import type { Handler } from './tree-handler.ts'
import { matchTree } from './version.ts'

export interface MemberRoutesComponents {
  /** Of a tree that is known. */
  readonly proofOf: (tree: string) => Proof
  /** As for members, but for the right to the tree, which is looked at here. */
  readonly server: Pick<BlockServer, 'object' | 'blocks'>
}

/** Undefined for an address that is none of these. */
export type MemberRoutes = (target: RequestTarget) => Handler | undefined

const PREFIX = '_mesh'
/** Whom the server of blocks takes the asker for; it only counts by it. */
const ASKER = 'http'
/** Records written together. */
const BATCH_BYTES = 64 * 1024

export function createMemberRoutes({ proofOf, server }: MemberRoutesComponents): MemberRoutes {
  const handle: Handler = async (request, response, target, options) => {
    const [, what, ...more] = target.segments.map(({ name }) => Buffer.from(name).toString('latin1'))
    const { query } = target
    if (more.length > 0) throw noSuchRoute()
    if (what === 'proof') return sendProof(request, response, query, options)
    if (what === 'object') return sendObject(request, response, query, options)
    if (what === 'block') return sendBlock(request, response, query, options)
    throw noSuchRoute()
  }

  return ({ segments }) =>
    Buffer.from(segments[0]?.name ?? '').toString('latin1') === PREFIX ? handle : undefined

  async function sendProof(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
    options: SendOptions & { readonly rights: Rights },
  ): Promise<void> {
    const path = query.get('path') ?? `/${query.get('tree') ?? ''}`
    const match = matchTree(options.rights.catalogue, parseTarget(path).segments)
    if (match === undefined) throw options.rights.noSuchTree()
    const { records, bytes } = proofOf(match.tree.name)
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': bytes + 4 * records.length,
      'cache-control': 'no-store',
      'x-mirrormesh-tree': match.tree.name,
    })
    if (request.method === 'GET') await sendPieces(response, frames(records), options)
    response.end()
  }

  async function sendObject(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
    { signal, onSent, pace, rights }: SendOptions & { readonly rights: Rights },
  ): Promise<void> {
    const tree = treeOf(query, rights)
    const bytes = await server.object(ASKER, tree, cidOf(query, 'cid'), signal)
    if (bytes === undefined) throw notHeld()
    await pace?.(bytes.length, signal)
    sendBytes(request, response, bytes)
    onSent(bytes.length)
  }

  async function sendBlock(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
    { signal, onSent, pace, rights }: SendOptions & { readonly rights: Rights },
  ): Promise<void> {
    const tree = treeOf(query, rights)
    const offset = Number(/^\d{1,5}$/.exec(query.get('offset') ?? '')?.[0] ?? Number.NaN)
    if (!(offset < 65_536)) throw new MirrorError('invalid', 'offset is a number below 65536')
    const asked = {
      tree,
      page: cidOf(query, 'page'),
      offsets: [offset],
      acceptsZstd: query.get('zstd') === '1',
    }
    for await (const [block] of server.blocks(ASKER, asked, signal)) {
      if (block?.bytes === undefined) break
      if (block.zstdOfBytes !== undefined) response.setHeader('x-mirrormesh-plain-bytes', block.zstdOfBytes)
      await pace?.(block.bytes.length, signal)
      sendBytes(request, response, block.bytes)
      onSent(block.bytes.length)
      return
    }
    throw notHeld()
  }
}

async function* frames(records: readonly VerifiedRecord[]): AsyncGenerator<Uint8Array> {
  let batch: Uint8Array[] = []
  let bytes = 0
  for (const record of records) {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(record.bytes.length)
    batch.push(head, record.bytes)
    bytes += 4 + record.bytes.length
    if (bytes < BATCH_BYTES) continue
    yield Buffer.concat(batch)
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield Buffer.concat(batch)
}

function sendBytes(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array): void {
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': bytes.length,
    'cache-control': 'private, max-age=604800, immutable',
  })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

function treeOf(query: URLSearchParams, rights: Rights): string {
  const name = query.get('tree') ?? ''
  if (rights.catalogue.tree(name) === undefined) throw rights.noSuchTree()
  return name
}

function cidOf(query: URLSearchParams, key: string): Cid {
  return parseCid(query.get(key) ?? '')
}

function notHeld(): MirrorError {
  return new MirrorError('not-found', 'this site does not hold it', { hint: 'Ask another site.' })
}

function noSuchRoute(): MirrorError {
  return new MirrorError('not-found', 'there is no such address', {
    hint: 'Below /_mesh there are proof, object and block.',
  })
}
