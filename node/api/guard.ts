/**
 * Who comes in by TCP. Asked of every request before anything else is done with it:
 *
 * - Host: an IP address, localhost, a name of the certificate or of `apiHosts`. A page that had its own name rebound to
 *   this address comes with that name, and is refused.
 * - Origin and Sec-Fetch-Site: a request that a page of another origin caused is refused, whatever it carries; what
 *   changes something by a cookie has to say that it comes from here.
 * - A token (Authorization: Bearer) or a session's cookie, of the scope that the route needs. Nothing is answered
 *   without, but for the files of the console and its login.
 */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MirrorError } from '../../src/base/errors.ts'
import type { Tokens } from '../tokens.ts'
import { type Access, checkAsked, checkLeast } from './access.ts'
import type { FailureLimit } from './failure-limit.ts'
import { sendProblem } from './problem.ts'
import type { Sessions } from './sessions.ts'

export interface GuardComponents {
  readonly tokens: Pick<Tokens, 'check'>
  readonly sessions: Sessions
  readonly failures: FailureLimit
  readonly log: { warn(fields: object, event: string): void }
}

export interface GuardOptions {
  /** Further names that the Host header may have. */
  readonly hosts: readonly string[]
  /** PEM, looked at for each request that comes with a name: it may have been renewed. */
  readonly certificate: (() => Uint8Array) | undefined
  readonly cookie: string
}

/** What needs no token: static files, and the login that asks for one. By the route, never by how its URL is written. */
function isOpen({ routeOptions: { url } }: FastifyRequest): boolean {
  return url === '/' || url === '/console' || url?.startsWith('/console/') === true
}

export function addGuard(app: FastifyInstance, components: GuardComponents, options: GuardOptions): void {
  const { tokens, sessions, failures, log } = components

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff').header('cache-control', 'no-store')
    reply.header('referrer-policy', 'no-referrer')
    checkHost(request.headers.host, options)
    checkOrigin(request)
    if (isOpen(request)) return
    const found = sessionOf(request) ?? tokenOf(request)
    if (found === undefined) return refuse(request, reply, failures.waitSeconds(request.ip))
    request.access = found
    if (found.isSession && !isSafe(request)) checkSameOrigin(request)
    checkLeast(found, request.routeOptions.config.spec)
  })
  app.addHook('preHandler', async (request) => {
    if (isOpen(request)) return
    const query = new URLSearchParams(request.url.split('?').slice(1).join('?'))
    checkAsked(request.access, request.routeOptions.config.spec, { query, body: request.body })
  })

  function sessionOf(request: FastifyRequest): Access | undefined {
    if (request.headers.authorization !== undefined) return undefined
    const secret = cookieOf(request.headers.cookie, options.cookie)
    const session = secret === undefined ? undefined : sessions.find(secret)
    if (session === undefined) return undefined
    const { token, expiresMs } = session
    return { scope: token.scope, token: { id: token.id, name: token.name }, expiresMs, isSession: true }
  }

  function tokenOf({ headers: { authorization } }: FastifyRequest): Access | undefined {
    const text = /^Bearer +(\S{1,256}) *$/i.exec(authorization ?? '')?.[1]
    const token = text === undefined ? undefined : tokens.check(text, 'api')
    if (token === undefined) return undefined
    const { scope, id, name, expiresMs } = token
    return { scope, token: { id, name }, expiresMs, isSession: false }
  }

  function refuse(request: FastifyRequest, reply: FastifyReply, wait: number): FastifyReply {
    reply.header('www-authenticate', 'Bearer realm="mirrormesh"')
    if (wait > 0) {
      reply.header('retry-after', wait)
      const error = new MirrorError('busy', 'too many wrong tokens came from your address', {
        facts: { waitSeconds: wait },
        hint: `Try again in ${wait} s.`,
      })
      return sendProblem(reply, error, 429)
    }
    const { authorization, cookie } = request.headers
    const isWrong = authorization !== undefined || cookieOf(cookie, options.cookie) !== undefined
    if (authorization !== undefined) {
      failures.failed(request.ip)
      log.warn({ address: request.ip, url: request.url.slice(0, 200) }, 'api.wrong-token')
    }
    const error = new MirrorError(
      'refused',
      isWrong ? 'this token is not valid here (any more)' : 'the API over TCP needs a token',
      { hint: 'At the node: mirrormesh token create --name NAME --scope read' },
    )
    return sendProblem(reply, error, 401)
  }
}

export function cookieOf(header: string | undefined, name: string): string | undefined {
  for (const part of (header ?? '').split(';')) {
    const [key = '', value = ''] = part.trim().split('=')
    if (key === name && /^[A-Za-z0-9_-]{1,64}$/.test(value)) return value
  }
  return undefined
}

function checkHost(host: string | undefined, { hosts, certificate }: GuardOptions): void {
  const name = hostName(host)
  if (name !== undefined) {
    if (isIP(name) !== 0 || name === 'localhost' || hosts.includes(name)) return
    if (certificate !== undefined && isOfCertificate(certificate(), name)) return
  }
  throw new MirrorError('refused', `this node does not answer to the name ${JSON.stringify(name ?? '')}`, {
    hint: 'Use its address, a name of its certificate, or one of apiHosts in config.yaml.',
  })
}

/** In lower case, without port and brackets. */
function hostName(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]{1,253}))(?::\d{1,5})?$/i.exec(host ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}

function isOfCertificate(pem: Uint8Array, name: string): boolean {
  return new X509Certificate(pem).checkHost(name) !== undefined
}

function checkOrigin({ headers }: FastifyRequest): void {
  const { origin, host } = headers
  const site = headers['sec-fetch-site']
  if (origin !== undefined && hostOf(origin) !== host?.toLowerCase()) throw foreign(origin)
  // `none`: typed into the address bar. A link from elsewhere to the console's page may be followed.
  const isPage = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !isPage) throw foreign(String(site))
}

/** A cookie is sent by the browser, whoever made it ask: only the browser can say who did. */
function checkSameOrigin({ headers }: FastifyRequest): void {
  if (headers.origin === undefined && headers['sec-fetch-site'] !== 'same-origin') throw foreign('unknown')
}

function isSafe({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

function hostOf(origin: string): string | undefined {
  return URL.parse(origin)?.host
}

function foreign(origin: string): MirrorError {
  return new MirrorError('refused', `a page of another origin may not ask this API: ${origin.slice(0, 200)}`)
}
