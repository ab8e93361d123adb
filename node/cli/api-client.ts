/**
 * The CLI's door to the daemon: HTTP over the Unix socket of this home. Problems come back as the MirrorError that
 * the daemon threw; a daemon that does not answer is `unreachable`.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { ERROR_CODES, type ErrorCode, type ErrorFacts, MirrorError } from '../../src/base/errors.ts'
import { type Paths, socketToDial } from '../paths.ts'

export interface ServerEvent {
  readonly event: string
  readonly data: unknown
}

export interface ApiAnswer {
  readonly headers: IncomingMessage['headers']
  readonly body: AsyncIterable<Uint8Array>
}

export interface ApiClient {
  get<T>(path: string, signal?: AbortSignal): Promise<T>
  post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T>
  delete(path: string, signal?: AbortSignal): Promise<void>
  /** The answer's body as it arrives. */
  stream(path: string, signal?: AbortSignal): Promise<ApiAnswer>
  /** One parsed JSON document a line. */
  lines<T>(path: string, signal?: AbortSignal): AsyncIterable<T>
  events(path: string, signal?: AbortSignal): AsyncIterable<ServerEvent>
}

/** Bytes of the largest document, line or event that is read into memory. */
const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
const CONNECT_TIMEOUT_MS = 10_000

export function createApiClient({ paths, self }: { paths: Paths; self: string }): ApiClient {
  async function send(
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    const socketPath = socketToDial(paths)
    const answer = await exchange(socketPath, method, path, body, signal).catch((error) => {
      throw signal?.aborted === true
        ? new MirrorError('aborted', `${method} ${path}: interrupted`, { cause: error })
        : unreachable(socketPath, self, error)
    })
    if ((answer.statusCode ?? 500) < 400) return answer
    throw problemOf(await readAll(answer, path, signal), answer.statusCode ?? 500)
  }
  async function json<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const text = await readAll(await send(method, path, body, signal), path, signal)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }
  return {
    get: (path, signal) => json('GET', path, undefined, signal),
    post: (path, body, signal) => json('POST', path, body, signal),
    delete: (path, signal) => json('DELETE', path, undefined, signal),
    async stream(path, signal) {
      const answer = await send('GET', path, undefined, signal)
      return { headers: answer.headers, body: whole(answer, path, signal) }
    },
    async *lines<T>(path: string, signal?: AbortSignal) {
      for await (const line of splitLines(whole(await send('GET', path, undefined, signal), path, signal))) {
        if (line === '') continue
        const document = JSON.parse(line) as T & { problem?: unknown }
        // The status line was sent long before this went wrong.
        if (document.problem !== undefined) throw problemOf(JSON.stringify(document.problem), 500)
        yield document
      }
    },
    async *events(path, signal) {
      let event = 'message'
      let data = ''
      for await (const line of splitLines(whole(await send('GET', path, undefined, signal), path, signal))) {
        if (line === '') {
          if (data !== '') yield { event, data: JSON.parse(data) as unknown }
          event = 'message'
          data = ''
        } else if (line.startsWith('event: ')) event = line.slice(7)
        else if (line.startsWith('data: ')) data += line.slice(6)
      }
    },
  }
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const outgoing = httpRequest(
      {
        socketPath,
        method,
        path,
        agent: false,
        headers:
          payload === undefined
            ? { accept: 'application/json' }
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
        ...(signal === undefined ? {} : { signal }),
      },
      resolve,
    )
    outgoing.setTimeout(CONNECT_TIMEOUT_MS, () => {
      if (outgoing.socket?.connecting === true) outgoing.destroy(new Error('it does not accept connections'))
    })
    outgoing.on('error', reject)
    outgoing.end(payload)
  })
}

/** The body, which must end as HTTP says: a daemon that dies in mid-answer is an error, not the end of the data. */
async function* whole(
  answer: IncomingMessage,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of answer) yield chunk as Uint8Array
  } catch (error) {
    throw signal?.aborted === true
      ? new MirrorError('aborted', `${path}: interrupted`, { cause: error })
      : new MirrorError('unreachable', `the daemon broke off its answer to ${path}`, {
          cause: error,
          hint: 'It may have been stopped; its log says more.',
        })
  }
}

async function readAll(
  answer: IncomingMessage,
  path: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of whole(answer, path, signal)) {
    sizeBytes += chunk.length
    if (sizeBytes > MAX_DOCUMENT_BYTES)
      throw new MirrorError('limit', 'the daemon sent an oversized document')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true })
    if (rest.length > MAX_DOCUMENT_BYTES) throw new MirrorError('limit', 'the daemon sent an oversized line')
    let start = 0
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', start)) {
      yield rest.slice(start, end)
      start = end + 1
    }
    rest = rest.slice(start)
  }
  if (rest !== '') yield rest
}

function unreachable(socketPath: string, self: string, error: unknown): MirrorError {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM') {
    return new MirrorError('refused', `may not open the daemon's socket ${socketPath}: permission denied`, {
      cause: error,
      hint: 'Run this as the user of the daemon.',
    })
  }
  const why =
    code === 'ENOENT' ? 'no such socket' : code === 'ECONNREFUSED' ? 'nobody listens there' : message
  return new MirrorError('unreachable', `no daemon answers at ${socketPath}: ${why}`, {
    cause: error,
    hint: `Start it: ${self} daemon`,
  })
}

/** The MirrorError that an RFC 9457 problem document describes. */
export function problemOf(text: string, status: number): MirrorError {
  let problem: Record<string, unknown> = {}
  try {
    problem = JSON.parse(text) as Record<string, unknown>
  } catch {
    // Not ours: the status has to do.
  }
  const code = ERROR_CODES.find((known): known is ErrorCode => known === problem.code) ?? 'internal'
  const detail = typeof problem.detail === 'string' ? problem.detail : `the daemon answered HTTP ${status}`
  return new MirrorError(code, detail, {
    facts: (problem.facts ?? {}) as ErrorFacts,
    ...(typeof problem.hint === 'string' ? { hint: problem.hint } : {}),
  })
}
