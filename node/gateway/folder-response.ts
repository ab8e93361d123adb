/**
 * A folder as an HTTP response: a listing (HTML or JSON), a tar archive or a CAR archive. All are streamed as they are
 * made, and none has a length beforehand, so none has ranges.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DirectoryEntry } from '../../src/dag/entry.ts'
import { type NodeSource, readDirectory } from '../../src/dag/reader.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import { CAR_TYPE, carOf } from './car.ts'
import { chooseCoding, encodePieces } from './content-coding.ts'
import type { ReadFile } from './file-response.ts'
import { orderRows, parseOrder } from './folder-order.ts'
import { chooseFormat, type ListingHead, listingHtml, listingJson } from './listing.ts'
import type { ListingRow } from './listing-row.ts'
import { checkConditions } from './precondition.ts'
import type { RequestTarget } from './request-target.ts'
import { batched, type SendOptions, sendPieces } from './send-body.ts'
import { tarOf } from './tar.ts'

export interface FolderComponents {
  readonly blocks: NodeSource
  readonly readFile: ReadFile
  readonly scratch: Scratch
}

export interface FolderResponse {
  readonly entry: DirectoryEntry
  readonly head: ListingHead
  /** What an archive is called, without its ending: printable ASCII without quotes. */
  readonly archiveName: string
  /** Entries of the whole snapshot, as it counts them. */
  readonly maxEntries: number
}

export async function sendFolder(
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  components: FolderComponents,
  folder: FolderResponse,
  options: SendOptions,
): Promise<void> {
  const format = target.query.get('format')
  if (format === 'tar' || format === 'car') {
    const hasHoles = target.query.get('sparse') !== 'no'
    await sendArchive(request, response, { format, hasHoles }, components, folder, options)
    return
  }
  const { entry, head } = folder
  const readRows = (): AsyncIterable<ListingRow> =>
    readDirectory(components.blocks, entry.directory, { signal: options.signal })
  await sendListing(request, response, target, head, readRows, {
    ...options,
    tag: entry.directory.toString(),
  })
}

/** @param readRows begins anew at each call */
export async function sendListing(
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  head: ListingHead,
  readRows: () => AsyncIterable<ListingRow> | Iterable<ListingRow>,
  options: SendOptions & { readonly tag?: string },
): Promise<void> {
  const format = chooseFormat(target.query, request.headers.accept)
  const coding = chooseCoding(request.headers['accept-encoding']?.toString())
  const order = parseOrder(target.query)
  response.setHeader('vary', `accept, accept-encoding${response.hasHeader('vary') ? ', authorization' : ''}`)
  if (options.tag !== undefined) {
    // The same folder at another address or sequence has another heading: those are part of the listing's identity.
    const path = Buffer.from(head.path).toString('base64url').slice(-64)
    const form = `${format}.${order.key}${order.isDescending ? '-' : ''}.${coding}.${head.behind ?? 0}`
    if (isAnswered(request, response, `"${options.tag}.${head.sequence}.${path}.${form}"`)) return
  }
  response.setHeader(
    'content-type',
    format === 'json' ? 'application/json; charset=utf-8' : 'text/html; charset=utf-8',
  )
  response.setHeader('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
  if (coding !== 'identity') response.setHeader('content-encoding', coding)
  response.statusCode = 200
  if (request.method === 'GET') {
    using sorted = await orderRows(readRows, order)
    const { rows, isSorted } = sorted
    const pieces = format === 'json' ? listingJson(head, rows) : listingHtml(head, rows, { order, isSorted })
    await sendPieces(response, encodePieces(batched(pieces), coding), options)
  }
  response.end()
}

async function sendArchive(
  request: IncomingMessage,
  response: ServerResponse,
  { format, hasHoles }: { readonly format: 'tar' | 'car'; readonly hasHoles: boolean },
  { blocks, readFile, scratch }: FolderComponents,
  { entry, archiveName, maxEntries }: FolderResponse,
  options: SendOptions,
): Promise<void> {
  const { signal } = options
  // The number is of the form: another version of it has other bytes.
  const form = format === 'car' ? 'car' : `tar.2${hasHoles ? '' : '.plain'}`
  if (isAnswered(request, response, `"${entry.directory.toString()}.${form}"`)) return
  response.setHeader('accept-ranges', 'none')
  response.setHeader('content-type', format === 'tar' ? 'application/x-tar' : CAR_TYPE)
  response.setHeader('content-disposition', `attachment; filename="${archiveName}.${format}"`)
  response.statusCode = 200
  if (request.method === 'GET') {
    const pieces =
      format === 'tar'
        ? tarOf({ blocks, readFile }, entry, { maxEntries, hasHoles, signal })
        : carOf({ blocks, scratch }, entry.directory, { scope: 'all', signal })
    await sendPieces(response, pieces, options)
  }
  response.end()
}

/** Sets the tag; true when the client's conditions made an answer of it. */
function isAnswered(request: IncomingMessage, response: ServerResponse, etag: string): boolean {
  response.setHeader('etag', etag)
  const condition = checkConditions(
    { 'if-match': request.headers['if-match'], 'if-none-match': request.headers['if-none-match'] },
    { etag, isImmutable: false },
  )
  if (condition === 'proceed') return false
  response.statusCode = condition === 'not-modified' ? 304 : 412
  response.end()
  return true
}
