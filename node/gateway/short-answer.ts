/** Answers of a few words, and the problems that take the place of an answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { MirrorError } from '../../src/base/errors.ts'
import { problemOf } from './problem.ts'
import { MAX_TARGET_BYTES } from './request-target.ts'
import { CHALLENGES, needsToken } from './rights.ts'

/** What was said of the answer that a problem takes the place of. */
const ANSWER_HEADERS = [
  'etag',
  'last-modified',
  'accept-ranges',
  'content-length',
  'vary',
  'link',
  'digest',
].concat(['content-encoding', 'content-disposition', 'repr-digest', 'x-ipfs-path', 'x-ipfs-roots'])

export function sendText(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

/** Of an answer that has not begun. */
export function sendError(request: IncomingMessage, response: ServerResponse, error: MirrorError): void {
  if (needsToken(error)) {
    response.setHeader('www-authenticate', CHALLENGES)
    sendProblem(request, response, error, 401)
  } else sendProblem(request, response, error, isTooLong(request) ? 414 : undefined)
}

export function sendProblem(
  request: IncomingMessage,
  response: ServerResponse,
  error: MirrorError,
  status?: number,
): void {
  const problem = problemOf(error, status)
  for (const name of ANSWER_HEADERS) response.removeHeader(name)
  const body = `${JSON.stringify(problem)}\n`
  if (problem.status === 503 && !response.hasHeader('retry-after')) response.setHeader('retry-after', 5)
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** A block that is not there is our trouble, however it was called below: the address is right. */
export function blockMissing(error: MirrorError): MirrorError {
  if (error.code !== 'not-found' || error.facts.cid === undefined) return error
  return new MirrorError('degraded', 'a part of it is being repaired at this site', { cause: error })
}

function isTooLong(request: IncomingMessage): boolean {
  return (request.url?.length ?? 0) > MAX_TARGET_BYTES
}
