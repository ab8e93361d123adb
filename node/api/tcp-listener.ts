/**
 * Where the API and the console listen for browsers and other machines: loopback, or anywhere with TLS. Strangers get here
 * before anybody has looked at a token, so connections are bounded, in all and of one client, and so is the time that a
 * request may take to arrive. Else one that sends slowly, many times over, would take what the whole node has of open files.
 */
import type { Server } from 'node:https'
import { type AddressInfo, isIPv4, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Config } from '../config.ts'
import { type CertificateFiles, followCertificate, type LoadedCertificate } from '../gateway/certificate.ts'
import { createClientLimits } from '../gateway/client-limits.ts'
import type { GatewayLog } from '../gateway/gateway-log.ts'

export interface TcpPlace {
  readonly host: string
  readonly port: number
  readonly files: CertificateFiles | undefined
  /** Further names that clients may use for this node. */
  readonly names: readonly string[]
}

/** @throws MirrorError `invalid` for an address that others reach, without TLS */
export function tcpPlaceOf({ apiListen, apiCertificate, apiKey, apiHosts }: Config): TcpPlace | undefined {
  if (apiListen === 'off') return undefined
  const at = apiListen.lastIndexOf(':')
  const host = apiListen.slice(0, at).replace(/^\[|\]$/g, '')
  const port = Number(apiListen.slice(at + 1))
  if ((apiCertificate === undefined) !== (apiKey === undefined)) {
    throw new MirrorError('invalid', 'apiCertificate and apiKey go together: one of them is missing', {
      hint: 'See: mirrormesh config show',
    })
  }
  const files =
    apiCertificate === undefined || apiKey === undefined
      ? undefined
      : { certificate: apiCertificate, key: apiKey }
  if (files === undefined && !isLoopback(host)) {
    throw new MirrorError(
      'invalid',
      `apiListen is ${apiListen}, which other machines reach, and there is no TLS: tokens would travel in the clear`,
      {
        hint: 'Set apiCertificate and apiKey, or listen on 127.0.0.1 and let a proxy with TLS stand before it.',
      },
    )
  }
  return { host, port, files, names: apiHosts.map((name) => name.toLowerCase()) }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/** What fastify makes its server with. */
export const TCP_SERVER_LIMITS = {
  headersTimeout: 15_000,
  /** 8 MiB of an upload at half a megabit a second. */
  requestTimeout: 150_000,
  keepAliveTimeout: 30_000,
  /** Of TLS: it begins before the others do. */
  handshakeTimeout: 15_000,
  connectionsCheckingInterval: 5_000,
} as const

export interface TcpLimits {
  readonly maxConnections: number
  /** Of one address: behind a proxy that is everybody. */
  readonly maxClientConnections: number
}

export interface TcpListener {
  start(): Promise<void>
  stop(): Promise<void>
  /** `https://HOST:PORT`; undefined before the start. */
  url(): string | undefined
}

export function createTcpListener(
  app: FastifyInstance,
  { host, port, files }: TcpPlace,
  {
    clock,
    log,
    onCertificate,
    limits = { maxConnections: 1024, maxClientConnections: 512 },
  }: {
    readonly limits?: TcpLimits
    readonly clock: Clock
    readonly log: GatewayLog
    readonly onCertificate: (loaded: LoadedCertificate) => void
  },
): TcpListener {
  let endFollowing = (): void => undefined
  let bound: AddressInfo | null = null
  const clients = createClientLimits({ clock }, { ...limits, bytesPerSecond: 0, clientBytesPerSecond: 0 })
  // Before any handshake: what it costs is what they are after.
  const open = new Set<Socket>()
  app.server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    if (clients.admit(socket) !== undefined) socket.destroy()
  })
  return {
    async start() {
      try {
        await app.listen({ host, port })
      } catch (error) {
        throw asMirrorError(error, `listen for the API on ${host}:${port}`, {
          hint: 'Is another program using the port? Choose another one as apiListen in config.yaml.',
        })
      }
      bound = app.server.address() as AddressInfo
      if (files !== undefined) {
        const server = app.server as unknown as Server
        endFollowing = followCertificate(server, files, { clock, log, owner: 'api', onTaken: onCertificate })
      }
    },
    async stop() {
      endFollowing()
      const closed = app.close()
      // Node's closeAllConnections, which that calls, knows only of those that have ended their handshake.
      for (const socket of open) socket.destroy()
      await closed
    },
    url() {
      if (bound === null) return undefined
      const name = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address
      return `${files === undefined ? 'http' : 'https'}://${name}:${bound.port}`
    },
  }
}
