/**
 * The CLI's door to the daemon: HTTP over the Unix socket of this home, or, with --api, to any node's address, by token.
 * Problems come back as the MirrorError that the daemon threw; a daemon that does not answer is `unreachable`.
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { ERROR_CODES, type ErrorCode, type ErrorFacts, MirrorError } from '../../src/base/errors.ts'
import { type Paths, socketToDial } from '../paths.ts'
import { type RemoteApi, readTokenFile } from './remote-api.ts'

export interface ServerEvent {
  /** Of the last one that had an id; undefined before the first. */
  readonly id?: string
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
  patch<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T>
  /** Bytes as they are. */
  put(path: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void>
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

/** Where the daemon is: what requests need, and how to say that it does not answer. */
interface Door {
  readonly options: RequestOptions
  readonly isSecure: boolean
  unreachable(error: unknown): MirrorError
}

export function createApiClient({
  paths,
  self,
  remote,
}: {
  readonly paths: Paths
  readonly self: string
  readonly remote?: RemoteApi | undefined
}): ApiClient {
  let door: Promise<Door> | undefined

  async function send(
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    door ??= remote === undefined ? Promise.resolve(socketDoor(paths, self)) : remoteDoor(remote)
    const opened = await door
    const answer = await exchange(opened, method, path, body, signal).catch((error) => {
      throw signal?.aborted === true
        ? new MirrorError('aborted', `${method} ${path}: interrupted`, { cause: error })
        : opened.unreachable(error)
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
    patch: (path, body, signal) => json('PATCH', path, body, signal),
    put: (path, bytes, signal) => json('PUT', path, bytes, signal),
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
      let id: string | undefined
      let event = 'message'
      let data = ''
      for await (const line of splitLines(whole(await send('GET', path, undefined, signal), path, signal))) {
        if (line === '') {
          if (data !== '') {
            yield { ...(id === undefined ? {} : { id }), event, data: JSON.parse(data) as unknown }
          }
          event = 'message'
          data = ''
        } else if (line.startsWith('id: ')) id = line.slice(4)
        else if (line.startsWith('event: ')) event = line.slice(7)
        else if (line.startsWith('data: ')) data += line.slice(6)
      }
    },
  }
}

function socketDoor(paths: Paths, self: string): Door {
  return {
    // Looked up for each request: of a home that is too deep the socket lies where its daemon says, once it runs.
    get options() {
      return { socketPath: socketToDial(paths) }
    },
    isSecure: false,
    unreachable: (error) => unreachable(socketToDial(paths), self, error),
  }
}

async function remoteDoor({ url, tokenFile }: RemoteApi): Promise<Door> {
  const token = await readTokenFile(tokenFile)
  return {
    options: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      ...(url.port === '' ? {} : { port: url.port }),
      headers: { authorization: `Bearer ${token}` },
    },
    isSecure: url.protocol === 'https:',
    unreachable(error) {
      const { code, message } = error as NodeJS.ErrnoException
      const isUntrusted = /CERT|SELF_SIGNED|ALTNAME/.test(code ?? '')
      // OpenSSL's own words are for those who know its sources.
      const why = code === 'EPROTO' ? 'what answers there does not speak TLS' : message
      return new MirrorError(isUntrusted ? 'refused' : 'unreachable', `${url.origin}: ${why}`, {
        cause: error,
        hint: isUntrusted
          ? 'Name the file of its certificate in the environment: NODE_EXTRA_CA_CERTS=FILE'
          : 'Does that node listen there? Its config has apiListen.',
      })
    },
  }
}

function exchange(
  { options, isSecure }: Door,
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const isBytes = body instanceof Uint8Array
    const payload = body === undefined || isBytes ? body : JSON.stringify(body)
    const outgoing = (isSecure ? httpsRequest : httpRequest)(
      {
        ...options,
        method,
        path,
        agent: false,
        headers: {
          ...options.headers,
          ...(payload === undefined
            ? { accept: 'application/json' }
            : {
                'content-type': isBytes ? 'application/octet-stream' : 'application/json',
                'content-length': Buffer.byteLength(payload),
              }),
        },
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
  // Somebody took the connection: the kernel, for a daemon that has no descriptor left for it.
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return new MirrorError(
      'unreachable',
      `the daemon at ${socketPath} closed the connection without an answer: ${message}`,
      {
        cause: error,
        hint: 'It has as many files and connections open as it may (LimitNOFILE in its unit, or ulimit -n), or is stopping: its log says more. Try again.',
      },
    )
  }
  // A path too long for a socket is EINVAL: no daemon has said yet where else its socket is.
  const isNone = code === 'ENOENT' || code === 'EINVAL'
  const why = isNone ? 'no such socket' : code === 'ECONNREFUSED' ? 'nobody listens there' : message
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
