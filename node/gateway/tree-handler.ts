/**
 * `/<tree>/...`: finds the version, walks to the file or folder, and answers. Everything is read through the one
 * catalogue and the verified store; nothing on this path knows of the machine's own files.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import { concatBytes, printableName, utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import type { DirectoryEntry } from '../../src/dag/entry.ts'
import { type NodeSource, readDirectory } from '../../src/dag/reader.ts'
import { decodeSnapshot, type Snapshot } from '../../src/dag/snapshot.ts'
import { type ReadFile, sendFile } from './file-response.ts'
import { findEntry } from './find-entry.ts'
import { chooseFormat, type ListingHead, type ListingRow, listingHtml, listingJson } from './listing.ts'
import { checkConditions } from './precondition.ts'
import { encodeName, type RequestTarget, type TargetSegment } from './request-target.ts'
import type { Rights } from './rights.ts'
import { batched, type SendOptions, sendPieces } from './send-body.ts'
import { type ChosenVersion, chooseVersion, matchTree, type ServedTree } from './version.ts'

export interface TreeHandlerComponents {
  readonly blocks: NodeSource
  readonly readFile: ReadFile
  /** Keeps a snapshot whole while an answer is made of it. */
  readonly hold: (snapshot: Cid) => Disposable
}

export type TreeHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  options: SendOptions & { readonly rights: Rights },
) => Promise<void>

const MAX_CACHED_SNAPSHOTS = 64

export function createTreeHandler({ blocks, readFile, hold }: TreeHandlerComponents): TreeHandler {
  const snapshots = new LRUCache<string, Snapshot>({ max: MAX_CACHED_SNAPSHOTS })

  async function readSnapshot(cid: Cid, signal: AbortSignal): Promise<Snapshot> {
    const key = cidKey(cid)
    const known = snapshots.get(key)
    if (known !== undefined) return known
    const bytes = await blocks.get(cid, signal)
    if (bytes === undefined) {
      throw new MirrorError('degraded', 'the snapshot is being repaired at this site', {
        facts: { cid: cid.toString() },
      })
    }
    const snapshot = decodeSnapshot(cid, bytes)
    snapshots.set(key, snapshot)
    return snapshot
  }

  return async (request, response, target, options) => {
    const match = matchTree(options.rights.catalogue, target.segments)
    if (match === undefined) {
      await sendFolder(request, response, target, options.rights, options)
      return
    }
    const { version, rest } = chooseVersion(match.tree, match.rest)
    using _held = hold(version.snapshot)
    setVersionHeaders(response, match.tree, version)
    const snapshot = await readSnapshot(version.snapshot, options.signal)
    const names = rest.map((segment) => segment.name)
    const entry = await findEntry(blocks, snapshot.root, names, options.signal)
    if (entry === undefined) throw notThere(match.tree.name, version.sequence, names)
    if (entry.type === 'file') {
      if (target.hasTrailingSlash && target.segments.length > 0) {
        throw notThere(match.tree.name, version.sequence, names)
      }
      const name = target.segments.at(-1)!.name
      await sendFile(request, response, { entry, name, isImmutable: version.isImmutable, readFile }, options)
      return
    }
    if (entry.type !== 'directory') {
      throw new MirrorError(
        'refused',
        `${match.tree.name}@${version.sequence}: a ${entry.type} has no content to serve`,
        {
          hint: 'Check the tree out to have it as it is.',
        },
      )
    }
    if (!target.hasTrailingSlash) {
      redirectToFolder(response, target)
      return
    }
    const head = {
      tree: match.tree.name,
      sequence: version.sequence,
      snapshot: version.snapshot.toString(),
      path: printablePath(target.segments),
    }
    await sendListing(request, response, target, head, directoryRows(blocks, entry, options.signal), {
      ...options,
      tag: entry.directory.toString(),
    })
  }
}

function directoryRows(
  blocks: NodeSource,
  entry: DirectoryEntry,
  signal: AbortSignal,
): AsyncIterable<ListingRow> {
  return readDirectory(blocks, entry.directory, { signal })
}

/** Above the trees: the folders that their names make. */
async function sendFolder(
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  { catalogue, noSuchTree }: Rights,
  options: SendOptions,
): Promise<void> {
  const prefix = target.segments.map((segment) => `${Buffer.from(segment.name).toString('latin1')}/`).join('')
  const children = new Set<string>()
  for (const name of catalogue.names()) {
    if (name.startsWith(prefix)) children.add(name.slice(prefix.length).split('/')[0]!)
  }
  if (children.size === 0 && prefix !== '') throw noSuchTree()
  if (!target.hasTrailingSlash) {
    redirectToFolder(response, target)
    return
  }
  // Others may see other trees here.
  response.setHeader('cache-control', 'private, no-cache')
  response.setHeader('vary', 'authorization')
  const rows: ListingRow[] = [...children].sort().map((name) => ({ type: 'folder', name: utf8(name) }))
  await sendListing(request, response, target, { path: printablePath(target.segments) }, rows, options)
}

async function sendListing(
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  head: ListingHead,
  rows: AsyncIterable<ListingRow> | Iterable<ListingRow>,
  options: SendOptions & { readonly tag?: string },
): Promise<void> {
  const format = chooseFormat(target.query, request.headers.accept)
  response.setHeader('vary', response.hasHeader('vary') ? 'accept, authorization' : 'accept')
  if (options.tag !== undefined) {
    // The same folder at another address or sequence has another heading: those are part of the listing's identity.
    const etag = `"${options.tag}.${head.sequence}.${Buffer.from(head.path).toString('base64url').slice(-64)}.${format}"`
    response.setHeader('etag', etag)
    const condition = checkConditions(
      { 'if-match': request.headers['if-match'], 'if-none-match': request.headers['if-none-match'] },
      { etag, isImmutable: false },
    )
    if (condition !== 'proceed') {
      response.statusCode = condition === 'not-modified' ? 304 : 412
      response.end()
      return
    }
  }
  response.setHeader(
    'content-type',
    format === 'json' ? 'application/json; charset=utf-8' : 'text/html; charset=utf-8',
  )
  response.setHeader('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
  response.statusCode = 200
  if (request.method === 'GET') {
    const pieces = format === 'json' ? listingJson(head, rows) : listingHtml(head, rows)
    await sendPieces(response, batched(pieces), options)
  }
  response.end()
}

function setVersionHeaders(response: ServerResponse, tree: ServedTree, version: ChosenVersion): void {
  response.setHeader('x-mirrormesh-tree', tree.name)
  response.setHeader('x-mirrormesh-sequence', version.sequence)
  response.setHeader('x-mirrormesh-snapshot', version.snapshot.toString())
  response.setHeader('x-mirrormesh-behind', version.behind)
  const whose = tree.isPrivate ? 'private' : 'public'
  response.setHeader(
    'cache-control',
    version.isImmutable ? `${whose}, max-age=604800, immutable` : `${whose}, no-cache`,
  )
  if (tree.isPrivate) response.setHeader('vary', 'authorization')
}

/** Relative addresses in a listing need the slash. Not permanent: the next snapshot may have a file of that name. */
function redirectToFolder(response: ServerResponse, target: RequestTarget): void {
  const path = target.segments.map((segment) => `/${encodeSegment(segment)}`).join('')
  const query = target.query.toString()
  response.setHeader('cache-control', 'no-cache')
  response.writeHead(302, { location: `${path}/${query === '' ? '' : `?${query}`}`, 'content-length': 0 })
  response.end()
}

function encodeSegment({ name, isSelector }: TargetSegment): string {
  return isSelector ? `@${encodeName(name.subarray(1))}` : encodeName(name)
}

function printablePath(segments: readonly TargetSegment[]): string {
  return `/${segments.map((segment) => `${printableName(segment.name)}/`).join('')}`
}

function notThere(tree: string, sequence: number, names: readonly Uint8Array[]): MirrorError {
  const path = printableName(concatBytes(names.flatMap((name) => [utf8('/'), name])))
  return new MirrorError('not-found', `${tree} at sequence ${sequence} has no ${path}`)
}
