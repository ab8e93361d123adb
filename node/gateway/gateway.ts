/**
 * The read-only HTTP face of a node: trees for labs and offices, /livez, /readyz and /metrics for monitors.
 *
 * Built on node:http and nothing above it: names in trees are raw bytes, and routers decode and normalise them before
 * anybody is asked. It changes nothing in the mesh, takes no cookie, and never touches a file system. Private trees are there for
 * those alone who show a token (rights.ts).
 *
 * Bounded: connections, bodies in flight (over it: 503 with Retry-After), the address, the headers, the time that
 * headers, a request or a client that reads slowly may take.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { NodeSource } from '../../src/dag/reader.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import type { ProtocolTraffic, RelayCounts } from '../../src/net/ports.ts'
import type { PullUsage } from '../../src/replica/pull/pull-through.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { Topology } from '../../src/topology/topology.ts'
import type { Tokens } from '../tokens.ts'
import { openAccessLog } from './access-log.ts'
import { type CertificateFiles, followCertificate, loadCertificate } from './certificate.ts'
import { createClientLimits, type Refusal } from './client-limits.ts'
import type { ReadFile } from './file-response.ts'
import type { GatewayLog } from './gateway-log.ts'
import type { MemberRoutesComponents } from './member-routes.ts'
import { createMetrics, type GatewayMetrics, type StoreCare } from './metrics.ts'
import { problemOf } from './problem.ts'
import { MAX_TARGET_BYTES, parseTarget } from './request-target.ts'
import { CHALLENGES, needsToken, rightsOf } from './rights.ts'
import { createRoutes } from './routes.ts'
import type { SendOptions } from './send-body.ts'
import type { PullSource } from './tree-lookup.ts'
import type { Catalogue } from './version.ts'

export interface GatewayComponents {
  readonly catalogue: Catalogue
  readonly blocks: NodeSource
  /** The block to read a snapshot from: where this site keeps a part of it, its view's. */
  readonly shown?: (snapshot: Cid) => Cid
  /** What opens private trees; without it nothing does. */
  readonly tokens?: Pick<Tokens, 'check'> | undefined
  readonly readFile: ReadFile
  /** Keeps a snapshot whole while an answer is made of it. */
  readonly hold: (snapshot: Cid) => Disposable
  /** Reads out of the mesh what is not complete here; absent: such a snapshot is not served. */
  readonly pull?: PullSource | undefined
  readonly readPulled?: () => PullUsage | undefined
  /** What machines outside of the mesh fetch with; absent: nothing of it. */
  readonly outside?: MemberRoutesComponents | undefined
  /** The blocks of the tree, else those of public trees; undefined where these cannot be told from others. */
  readonly blocksFor: (tree: string | undefined) => NodeSource | undefined
  /** For archives of more blocks than memory should remember. */
  readonly scratch: Scratch
  /** What the store's keepers have done; shown by /metrics. */
  readonly readCare?: () => StoreCare
  readonly readRelayed?: () => RelayCounts
  readonly readProtocols?: () => readonly ProtocolTraffic[]
  readonly readStatus: () => StatusDocument
  readonly readTopology: () => Topology
  /** Undefined: ready. Otherwise why not, in words. */
  readonly notReady: () => string | undefined
  readonly clock: Clock
  readonly log: GatewayLog
}

export interface GatewayOptions {
  /** `host:port`, IPv6 in brackets, port 0 for any free one. */
  readonly listen: string
  /** On those beyond it requests are answered 503. */
  readonly maxConnections?: number
  readonly maxClientConnections?: number
  /** Of bodies; 0 is no limit. */
  readonly bytesPerSecond?: number
  readonly clientBytesPerSecond?: number
  /** Bodies in flight: each holds a block or two, so this bounds memory. */
  readonly maxBodies?: number
  readonly stallTimeoutMs?: number
  /** HTTPS instead of HTTP. */
  readonly certificate?: CertificateFiles | undefined
  /** File of the access log; none when absent. */
  readonly accessLog?: string | undefined
  /** How long a path that is gone from a tree's plain address is looked for in the snapshots before. */
  readonly keepMovedMs?: number
}

export interface Gateway {
  readonly metrics: GatewayMetrics
  start(): Promise<void>
  /** Takes no new request, gives those open `graceMs` to finish. */
  stop(graceMs?: number): Promise<void>
  /** `host:port` once started. */
  address(): string
}

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
const REFUSALS: Readonly<Record<Refusal | 'requests', string>> = {
  connections: 'this gateway has as many connections as it takes',
  'client-connections': 'this client has as many connections to this gateway as it may have',
  requests: 'this gateway is serving as many requests as it can',
}
const ALLOWED_METHODS = 'GET, HEAD, OPTIONS'

export function createGateway(
  components: GatewayComponents,
  {
    listen,
    maxConnections = 4096,
    maxClientConnections = 512,
    bytesPerSecond = 0,
    clientBytesPerSecond = 0,
    maxBodies = 1024,
    stallTimeoutMs = 60_000,
    certificate,
    accessLog: accessLogFile,
    keepMovedMs = 24 * 3_600_000,
  }: GatewayOptions,
): Gateway {
  const {
    clock,
    log,
    catalogue,
    tokens,
    readPulled,
    readCare,
    readRelayed,
    readProtocols,
    readStatus,
    notReady,
  } = components
  const { host, port } = parseListen(listen)
  const metrics = createMetrics(readStatus, { readCare, readRelayed, readProtocols, readPulled, clock })
  const handle = createRoutes(components, { keepMovedMs, isSecure: certificate !== undefined })
  let bodies = 0
  const clients = createClientLimits(
    { clock },
    { maxConnections, maxClientConnections, bytesPerSecond, clientBytesPerSecond },
  )
  metrics.watchConnections(clients.connections)
  const refused = new WeakMap<Socket, Refusal>()

  const limits = {
    headersTimeout: 15_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 30_000,
    connectionsCheckingInterval: 5_000,
  }
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // The handler answers every failure itself; nothing is left to reject.
    void serve(request, response)
  }
  const secure =
    certificate &&
    createSecureServer({ ...limits, ...loadCertificate(certificate), minVersion: 'TLSv1.2' }, onRequest)
  const server = secure ?? createServer(limits, onRequest)
  const endFollowing =
    secure === undefined || certificate === undefined
      ? (): void => undefined
      : followCertificate(secure, certificate, { clock, log })
  const accessLog = accessLogFile === undefined ? undefined : openAccessLog(accessLogFile, { clock, log })
  // Those that are too many get an answer that says so; these, not even that.
  server.maxConnections = maxConnections + Math.ceil(maxConnections / 4)
  server.on(secure === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    const refusal = clients.admit(socket)
    if (refusal !== undefined) refused.set(socket, refusal)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    log.debug({ errno: error.code }, 'gateway.client-error')
    const status =
      error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
    if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    else socket.destroy()
  })

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = clock.monotonicMs()
    const controller = new AbortController()
    response.on('close', () =>
      controller.abort(new MirrorError('aborted', 'the client closed the connection')),
    )
    response.on('error', () => undefined)
    let sentBytes = 0
    const onSent = (bytes: number): void => {
      sentBytes += bytes
      metrics.bytesSent(bytes)
    }
    metrics.inFlight(1)
    try {
      await answer(request, response, controller.signal, onSent)
    } catch (error) {
      fail(request, response, error)
    } finally {
      metrics.inFlight(-1)
      accessLog?.note(request, response, sentBytes)
      metrics.requestDone(request.method ?? '', response.statusCode, (clock.monotonicMs() - startedMs) / 1000)
    }
  }

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
    onSent: (bytes: number) => void,
  ): Promise<void> {
    response.setHeader('x-content-type-options', 'nosniff')
    // A page out of a tree gets an origin of its own: it cannot act in the name of this address.
    response.setHeader('content-security-policy', 'sandbox allow-scripts allow-downloads')
    if (request.method === 'OPTIONS') {
      response.writeHead(204, { allow: ALLOWED_METHODS })
      response.end()
      return
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', ALLOWED_METHODS)
      response.setHeader('connection', 'close')
      sendProblem(request, response, new MirrorError('unsupported', 'the gateway only reads'), 405)
      return
    }
    const target = parseTarget(request.url ?? '/')
    const [only] = target.segments
    if (target.segments.length === 1 && !target.hasTrailingSlash) {
      const name = Buffer.from(only!.name).toString('latin1')
      if (name === 'livez') return sendText(request, response, 200, 'alive\n')
      if (name === 'readyz') {
        const reason = notReady()
        return sendText(request, response, reason === undefined ? 200 : 503, `${reason ?? 'ready'}\n`)
      }
      if (name === 'metrics') {
        const text = await metrics.registry.metrics()
        return sendText(request, response, 200, text, metrics.registry.contentType)
      }
    }
    const refusal = refused.get(request.socket) ?? (bodies >= maxBodies ? 'requests' : undefined)
    if (refusal !== undefined) throw refuse(response, refusal)
    bodies++
    try {
      const pace = (bytes: number): Promise<void> => clients.pace(request.socket.remoteAddress, bytes, signal)
      const isPaced = bytesPerSecond > 0 || clientBytesPerSecond > 0
      const options: SendOptions = {
        clock,
        stallTimeoutMs,
        signal,
        onSent,
        ...(isPaced ? { pace } : {}),
      }
      const rights = rightsOf(request, { catalogue, tokens })
      await handle(request, response, target, { ...options, rights })
    } finally {
      bodies--
    }
  }

  /** Too much is asked of it: the answer that says so is all that it costs. */
  function refuse(response: ServerResponse, why: Refusal | 'requests'): MirrorError {
    metrics.refused(why)
    response.setHeader('retry-after', why === 'requests' ? 2 : 5)
    if (why !== 'requests') response.setHeader('connection', 'close')
    return new MirrorError('busy', REFUSALS[why])
  }

  function fail(request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
    const error = blockMissing(asMirrorError(thrown, 'serve the request'))
    const isOurs = error.code !== 'aborted' && error.code !== 'busy'
    if (isOurs && (problemOf(error).status >= 500 || response.headersSent)) {
      log.warn({ err: error, method: request.method, url: request.url?.slice(0, 512) }, 'gateway.failed')
    }
    // Too late for a status: a cut connection is the only way to say that the body is not whole.
    if (response.headersSent || response.destroyed) response.destroy()
    else if (needsToken(error)) {
      response.setHeader('www-authenticate', CHALLENGES)
      sendProblem(request, response, error, 401)
    } else sendProblem(request, response, error, isTooLong(request) ? 414 : undefined)
  }

  return {
    metrics,
    start: () => listenOn(server, host, port),
    async stop(graceMs = 5_000) {
      endFollowing()
      await close(server, clock, graceMs)
      await accessLog?.close()
    },
    address() {
      const bound = server.address() as AddressInfo | null
      if (bound === null) throw new MirrorError('internal', 'the gateway is not started')
      return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`
    },
  }
}

/** A block that is not there is our trouble, however it was called below: the address is right. */
function blockMissing(error: MirrorError): MirrorError {
  if (error.code !== 'not-found' || error.facts.cid === undefined) return error
  return new MirrorError('degraded', 'a part of it is being repaired at this site', { cause: error })
}

function isTooLong(request: IncomingMessage): boolean {
  return (request.url?.length ?? 0) > MAX_TARGET_BYTES
}

function sendText(
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

function sendProblem(
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

function parseListen(listen: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listen)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    throw new MirrorError('invalid', `not an address to listen on: ${JSON.stringify(listen)}`, {
      hint: 'Write HOST:PORT, for example 0.0.0.0:8080 or [::]:8080.',
    })
  }
  return { host: match[1] ?? (match[2] === '' ? '::' : match[2]!), port }
}

function listenOn(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      reject(
        asMirrorError(error, `listen for HTTP on ${host}:${port}`, {
          hint: 'Is another program using the port? Choose one with --http HOST:PORT.',
        }),
      )
    }
    server.once('error', onError)
    server.listen(port, host, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

async function close(server: Server, clock: Clock, graceMs: number): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)))
  })
  server.closeIdleConnections()
  const cancel = clock.after(graceMs, () => server.closeAllConnections())
  try {
    await closed
  } catch (error) {
    if (!isMirrorError(error) && (error as NodeJS.ErrnoException).code !== 'ERR_SERVER_NOT_RUNNING')
      throw error
  } finally {
    cancel()
  }
}
