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
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { openAccessLog } from './access-log.ts'
import { createClientLimits, type Refusal } from './client-limits.ts'
import type { GatewayComponents, GatewayOptions } from './gateway-options.ts'
import { createHttpListener } from './http-listener.ts'
import { createMetrics, type GatewayMetrics } from './metrics.ts'
import { sendMonitorPage } from './monitor-pages.ts'
import { problemOf } from './problem.ts'
import { parseTarget } from './request-target.ts'
import { rightsOf } from './rights.ts'
import { createRoutes } from './routes.ts'
import type { SendOptions } from './send-body.ts'
import { blockMissing, sendError, sendProblem } from './short-answer.ts'
import { createTurns } from './turns.ts'

export type { GatewayComponents, GatewayOptions } from './gateway-options.ts'

export interface Gateway {
  readonly metrics: GatewayMetrics
  start(): Promise<void>
  /** Takes no new request, gives those open `graceMs` to finish. */
  stop(graceMs?: number): Promise<void>
  /** `host:port` once started. */
  address(): string
}

const REFUSALS: Readonly<Record<Refusal | 'requests', string>> = {
  connections: 'this gateway has as many connections as it takes',
  'client-connections': 'this client has as many connections to this gateway as it may have',
  requests: 'this gateway is serving as many requests as it can',
}
/** Of every answer. A page out of a tree gets an origin of its own: it cannot act in the name of this address. */
const GUARDS = [
  ['x-content-type-options', 'nosniff'],
  ['content-security-policy', 'sandbox allow-scripts allow-downloads'],
] as const
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
    readPaths,
    readStatus,
    notReady,
  } = components
  const metrics = createMetrics(readStatus, {
    readCare,
    readRelayed,
    readProtocols,
    readPaths,
    readPulled,
    clock,
  })
  const { handle, hot, close } = createRoutes(components, {
    keepMovedMs,
    isSecure: certificate !== undefined,
  })
  let bodies = 0
  const turns = createTurns()
  const clients = createClientLimits(
    { clock },
    { maxConnections, maxClientConnections, bytesPerSecond, clientBytesPerSecond },
  )
  metrics.watchConnections(clients.connections)
  const listener = createHttpListener(
    {
      clients,
      // The long way answers every failure itself; nothing is left to reject.
      onRequest(request, response) {
        if (!serveAtOnce(request, response)) void serve(request, response)
      },
      isAnswering: turns.isAnswering,
      clock,
      log,
    },
    { listen, maxConnections, certificate },
  )
  const accessLog = accessLogFile === undefined ? undefined : openAccessLog(accessLogFile, { clock, log })
  const isPaced = bytesPerSecond > 0 || clientBytesPerSecond > 0

  /** What has been answered before. False: nothing was done. */
  function serveAtOnce(request: IncomingMessage, response: ServerResponse): boolean {
    const { socket } = request
    // One that still has an answer before it, or takes its answers slowly, is waited for the long way.
    const isReady = response.socket === socket && socket.writableLength === 0
    if (isPaced || !isReady || bodies >= maxBodies || listener.refusalOf(socket) !== undefined) return false
    const startedMs = clock.monotonicMs()
    const sentBytes = sendHot(request, response)
    if (sentBytes === undefined) return false
    if (socket.writableLength > 0) watchSlow(response)
    metrics.bytesSent(sentBytes)
    noteDone(request, response, sentBytes, startedMs)
    return true
  }

  function sendHot(request: IncomingMessage, response: ServerResponse): number | undefined {
    response.on('error', ignore)
    try {
      return hot.send(request, response)
    } catch (error) {
      // Where nothing was sent the long way finds out what is wrong, and says so.
      if (!response.headersSent) return undefined
      fail(request, response, error)
      return 0
    }
  }

  /** The rest of its answer lies in memory: it counts until it has been taken, or is cut off. */
  function watchSlow(response: ServerResponse): void {
    bodies++
    metrics.inFlight(1)
    const cancel = clock.after(stallTimeoutMs, () => response.destroy())
    response.once('close', () => {
      cancel()
      metrics.inFlight(-1)
      bodies--
    })
  }

  function noteDone(
    request: IncomingMessage,
    response: ServerResponse,
    sentBytes: number,
    startedMs: number,
  ): void {
    accessLog?.note(request, response, sentBytes)
    metrics.requestDone(request.method ?? '', response.statusCode, (clock.monotonicMs() - startedMs) / 1000)
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = clock.monotonicMs()
    const controller = new AbortController()
    response.on('close', () => {
      if (!response.writableFinished)
        controller.abort(new MirrorError('aborted', 'the client closed the connection'))
    })
    response.on('error', ignore)
    let sentBytes = 0
    const onSent = (bytes: number): void => {
      sentBytes += bytes
      metrics.bytesSent(bytes)
    }
    metrics.inFlight(1)
    const turn = turns.wait(request, response)
    if (turn !== undefined && !(await turn)) return metrics.inFlight(-1)
    turns.begin(request, response)
    try {
      await answer(request, response, controller.signal, onSent)
    } catch (error) {
      fail(request, response, error)
    } finally {
      turns.end(request)
      metrics.inFlight(-1)
      noteDone(request, response, sentBytes, startedMs)
    }
  }

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
    onSent: (bytes: number) => void,
  ): Promise<void> {
    for (const [name, value] of GUARDS) response.setHeader(name, value)
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
    if (await sendMonitorPage(request, response, target, { notReady, metrics })) return
    const refusal = listener.refusalOf(request.socket) ?? (bodies >= maxBodies ? 'requests' : undefined)
    if (refusal !== undefined) throw refuse(response, refusal)
    bodies++
    try {
      const pace = (bytes: number): Promise<void> => clients.pace(request.socket.remoteAddress, bytes, signal)
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
    else sendError(request, response, error)
  }

  return {
    metrics,
    start: listener.start,
    async stop(graceMs = 5_000) {
      await listener.stop(graceMs)
      await accessLog?.close()
      await close()
    },
    address: listener.address,
  }
}

/** Of a client that is gone: the connection's end tells it. */
const ignore = (): void => undefined
