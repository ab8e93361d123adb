/**
 * The socket that the gateway listens on, plain or with a certificate that may be renewed: admits connections within their
 * bounds, answers what is no HTTP, and ends in good order. What is asked for on it is not its affair.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { type CertificateFiles, followCertificate, loadCertificate } from './certificate.ts'
import type { ClientLimits, Refusal } from './client-limits.ts'
import type { GatewayLog } from './gateway-log.ts'

export interface HttpListener {
  start(): Promise<void>
  /** Takes no new connection, gives the requests that are open `graceMs` to finish. */
  stop(graceMs: number): Promise<void>
  /** `host:port` once started. */
  address(): string
  /** Why nothing is to be answered on this connection; undefined when it is welcome. */
  refusalOf(socket: Socket): Refusal | undefined
}

export interface HttpListenerComponents {
  readonly clients: Pick<ClientLimits, 'admit'>
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void
  /** Whether a part of an answer may have been sent on this connection: nothing else may come behind it. */
  readonly isAnswering: (socket: object) => boolean
  readonly clock: Clock
  readonly log: GatewayLog
}

export interface HttpListenerOptions {
  /** `host:port`, IPv6 in brackets, port 0 for any free one. */
  readonly listen: string
  /** Those beyond it get an answer that says so, up to a quarter more; with a certificate they are closed. */
  readonly maxConnections: number
  /** HTTPS instead of HTTP. */
  readonly certificate?: CertificateFiles | undefined
}

const LIMITS = {
  headersTimeout: 15_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 30_000,
  connectionsCheckingInterval: 5_000,
}
/** Of TLS: what a stranger can hold open before any of the times above begins. */
const HANDSHAKE_TIMEOUT_MS = 15_000

export function createHttpListener(
  { clients, onRequest, isAnswering, clock, log }: HttpListenerComponents,
  { listen, maxConnections, certificate }: HttpListenerOptions,
): HttpListener {
  const { host, port } = parseListen(listen)
  const refused = new WeakMap<Socket, Refusal>()
  const secure =
    certificate &&
    createSecureServer(
      {
        ...LIMITS,
        ...loadCertificate(certificate),
        minVersion: 'TLSv1.2',
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      },
      onRequest,
    )
  const server = secure ?? createServer(LIMITS, onRequest)
  const endFollowing =
    secure === undefined || certificate === undefined
      ? (): void => undefined
      : followCertificate(secure, certificate, { clock, log })
  // Those that are too many get an answer that says so; these, not even that.
  server.maxConnections = maxConnections + Math.ceil(maxConnections / 4)
  const open = new Set<Socket>()
  // Before any handshake: of a client that never ends one there must not be more than of others.
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    const refusal = clients.admit(socket)
    if (refusal === undefined) return
    if (secure === undefined) refused.set(socket, refusal)
    else socket.destroy()
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    log.debug({ errno: error.code }, 'gateway.client-error')
    const status =
      error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
    if (socket.writable && !isAnswering(socket))
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    else socket.destroy()
  })
  return {
    start: () => listenOn(server, host, port),
    async stop(graceMs) {
      endFollowing()
      await close(server, open, clock, graceMs)
    },
    address() {
      const bound = server.address() as AddressInfo | null
      if (bound === null) throw new MirrorError('internal', 'the gateway is not started')
      return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`
    },
    refusalOf: (socket) => refused.get(socket),
  }
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

async function close(
  server: Server,
  open: ReadonlySet<Socket>,
  clock: Clock,
  graceMs: number,
): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)))
  })
  server.closeIdleConnections()
  // Node's closeAllConnections knows only of those that have ended their handshake.
  const cancel = clock.after(graceMs, () => {
    for (const socket of open) socket.destroy()
  })
  try {
    await closed
  } catch (error) {
    if (!isMirrorError(error) && (error as NodeJS.ErrnoException).code !== 'ERR_SERVER_NOT_RUNNING')
      throw error
  } finally {
    cancel()
  }
}
