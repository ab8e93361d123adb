/**
 * A file as an HTTP response: whole, one range, several ranges (multipart/byteranges), or no body (304, 412, 416).
 *
 * The first piece is read before the status line is sent, so a missing block becomes an honest error; one that turns
 * up missing later cuts the connection, which the client sees as a short body. Wrong bytes are never an outcome.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { cidOf, RAW } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import { type ByteRange, contentRange, parseRange } from './byte-range.ts'
import { contentTypeOf } from './content-type.ts'
import { checkConditions, httpDate, modifiedSecOf, rangeApplies, type Validators } from './precondition.ts'
import { type SendOptions, sendPieces } from './send-body.ts'

/**
 * Reads the bytes of a file in [startByte, endByte), verified, in pieces of any size.
 * @param isOnce each piece is done with when the next is asked for: its memory may be used again then
 */
export type ReadFile = (
  entry: FileEntry,
  range: ByteRange,
  signal: AbortSignal,
  isOnce?: boolean,
) => AsyncIterable<Uint8Array>

export interface FileResponse {
  readonly entry: FileEntry
  /** The name asked for, which decides the type; a link may lead to a file of another name. */
  readonly name: Uint8Array
  readonly isImmutable: boolean
  readonly readFile: ReadFile
  /** Told of an answer that holds for whoever asks at this time: the whole of a file of up to `maxWholeBytes`. */
  readonly onWhole?: ((answer: WholeAnswer) => void) | undefined
  readonly maxWholeBytes?: number
}

export interface WholeAnswer {
  readonly validators: Validators
  /** Names and values by turns. */
  readonly headers: readonly string[]
  readonly body: Uint8Array
}

const EMPTY_FILE_TAG = `"${cidOf(RAW, new Uint8Array(0)).toString()}"`

export async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  { entry, name, isImmutable, readFile, onWhole, maxWholeBytes = 0 }: FileResponse,
  options: SendOptions,
): Promise<void> {
  const modifiedSec = modifiedSecOf(entry.mtimeSec, options.clock.nowMs())
  const validators: Validators = {
    etag: entry.content === undefined ? EMPTY_FILE_TAG : `"${entry.content.toString()}"`,
    ...(modifiedSec === undefined ? {} : { modifiedSec }),
    isImmutable,
  }
  response.setHeader('etag', validators.etag)
  if (modifiedSec !== undefined) response.setHeader('last-modified', httpDate(modifiedSec))
  const condition = checkConditions(request.headers, validators)
  if (condition !== 'proceed') {
    response.statusCode = condition === 'not-modified' ? 304 : 412
    response.end()
    return
  }
  const contentType = contentTypeOf(name)
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('content-type', contentType)
  const isGet = request.method === 'GET'
  // RFC 9110 section 14.2: Range has a meaning for GET only.
  const answer =
    isGet && rangeApplies(request.headers['if-range']?.toString(), validators)
      ? parseRange(request.headers.range, entry.sizeBytes)
      : ({ kind: 'whole' } as const)
  if (answer.kind === 'unsatisfiable') {
    response.removeHeader('content-type')
    response.writeHead(416, { 'content-range': `bytes */${entry.sizeBytes}`, 'content-length': 0 })
    response.end()
    return
  }
  const ranges = answer.kind === 'whole' ? [{ startByte: 0, endByte: entry.sizeBytes }] : answer.ranges
  const [first] = ranges
  const read = (range: ByteRange): AsyncIterable<Uint8Array> => readFile(entry, range, options.signal, true)
  if (ranges.length > 1) {
    const boundary = `mirrormesh-${randomBytes(12).toString('hex')}`
    const headers = ranges.map(
      (range) =>
        `\r\n--${boundary}\r\nContent-Type: ${contentType}\r\nContent-Range: ${contentRange(range, entry.sizeBytes)}\r\n\r\n`,
    )
    const end = `\r\n--${boundary}--\r\n`
    const bodyBytes = ranges.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0)
    const headerBytes = headers.reduce((sum, header) => sum + header.length, end.length)
    response.setHeader('content-type', `multipart/byteranges; boundary=${boundary}`)
    response.setHeader('content-length', bodyBytes + headerBytes)
    response.statusCode = 206
    await sendPieces(response, multipart(ranges, headers, end, read), options)
    response.end()
    return
  }
  response.statusCode = answer.kind === 'whole' ? 200 : 206
  response.setHeader('content-length', first!.endByte - first!.startByte)
  if (answer.kind === 'ranges') response.setHeader('content-range', contentRange(first!, entry.sizeBytes))
  // A date that is cut to the present is another in a second.
  const isLasting = modifiedSec === undefined || modifiedSec === entry.mtimeSec
  if (
    onWhole !== undefined &&
    isGet &&
    answer.kind === 'whole' &&
    entry.sizeBytes <= maxWholeBytes &&
    isLasting
  ) {
    const body = await wholeOf(readFile(entry, first!, options.signal))
    onWhole({ validators, headers: headersOf(response), body })
    if (body.length > 0) await sendPieces(response, [body], options)
  } else if (isGet && first!.endByte > first!.startByte) await sendPieces(response, read(first!), options)
  response.end()
}

/** In memory of its own when it comes in several pieces. */
async function wholeOf(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return all.length === 1 ? all[0]! : Buffer.concat(all)
}

function headersOf(response: ServerResponse): string[] {
  return Object.entries(response.getHeaders()).flatMap(([name, value]) => [name, String(value)])
}

async function* multipart(
  ranges: readonly ByteRange[],
  headers: readonly string[],
  end: string,
  read: (range: ByteRange) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array | string> {
  for (const [at, range] of ranges.entries()) {
    // The header waits for the first bytes of its part, so that a part that cannot be read begins no body.
    let header: string | undefined = headers[at]!
    for await (const piece of read(range)) {
      if (header !== undefined) yield header
      header = undefined
      yield piece
    }
  }
  yield end
}
