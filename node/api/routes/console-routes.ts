/**
 * /console/: the files of the web console, and the login that turns a token into a session's cookie (HttpOnly,
 * SameSite=Strict), so that no script ever holds the token. The files are open to everybody: they hold nothing.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Clock } from '../../../src/base/clock.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import type { Tokens } from '../../tokens.ts'
import type { FailureLimit } from '../failure-limit.ts'
import { cookieOf } from '../guard.ts'
import { parseBody } from '../parse.ts'
import { sendProblem } from '../problem.ts'
import type { Sessions } from '../sessions.ts'

export interface ConsoleFile {
  readonly type: string
  readonly body: Uint8Array
  /** The same, compressed with brotli. */
  readonly compressed: Uint8Array
  readonly cacheControl: string
  readonly etag: string
}

export interface ConsoleFiles {
  /** By the path below /console/; the page's own is empty. */
  readonly files: ReadonlyMap<string, ConsoleFile>
  /** What the page may load, from where. */
  readonly contentSecurityPolicy: string
}

export interface ConsoleComponents {
  readonly tokens: Pick<Tokens, 'check'>
  readonly sessions: Sessions
  readonly failures: FailureLimit
  readonly clock: Clock
  readonly log: {
    info(fields: object, event: string): void
    warn(fields: object, event: string): void
  }
  /** Absent: this program came without a console. */
  readonly loadFiles: (() => ConsoleFiles) | undefined
}

/** A token has 60 characters. */
const MAX_LOGIN_BYTES = 4096
const LOGIN = z.object({ token: z.string().min(1).max(256) })

/** @param cookie its name; `isSecure` when it travels by TLS only */
export function addConsoleRoutes(
  app: FastifyInstance,
  { tokens, sessions, failures, clock, log, loadFiles }: ConsoleComponents,
  { cookie, isSecure }: { readonly cookie: string; readonly isSecure: boolean },
): void {
  const attributes = `Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`

  app.get('/', (_, reply) => reply.redirect('/console/'))
  app.get('/console', (_, reply) => reply.redirect('/console/'))
  app.get('/console/*', (request: FastifyRequest<{ Params: { '*': string } }>, reply) => {
    const found = loadFiles?.()
    const file = found?.files.get(request.params['*'])
    if (found === undefined || file === undefined) {
      throw new MirrorError('not-found', 'the console has no such file', { hint: 'It begins at /console/.' })
    }
    reply
      .header('content-security-policy', found.contentSecurityPolicy)
      .header('cache-control', file.cacheControl)
      .header('etag', file.etag)
      .header('vary', 'accept-encoding')
    if (request.headers['if-none-match'] === file.etag) return reply.code(304).send()
    reply.header('content-type', file.type)
    if (!/\bbr\b/.test(request.headers['accept-encoding']?.toString() ?? '')) return reply.send(file.body)
    return reply.header('content-encoding', 'br').send(file.compressed)
  })

  // Nobody has shown a token yet: not a byte more than one is read.
  app.post('/console/login', { bodyLimit: MAX_LOGIN_BYTES }, (request, reply) => {
    const { token: text } = parseBody(LOGIN, request.body)
    const token = tokens.check(text.trim(), 'api')
    const wait = token === undefined ? failures.waitSeconds(request.ip) : 0
    if (wait > 0) {
      reply.header('retry-after', wait)
      const error = new MirrorError('busy', 'too many wrong tokens came from your address', {
        hint: `Try again in ${wait} s.`,
      })
      return sendProblem(reply, error, 429)
    }
    if (token === undefined) {
      failures.failed(request.ip)
      log.warn({ address: request.ip }, 'api.wrong-token')
      const error = new MirrorError('refused', 'this token is not valid here (any more)', {
        hint: 'At the node: mirrormesh token create --name NAME --scope read',
      })
      return sendProblem(reply, error, 401)
    }
    const { secret, expiresMs } = sessions.open(token)
    log.info({ token: token.id, address: request.ip }, 'api.login')
    const maxAge = Math.max(1, Math.floor((expiresMs - clock.nowMs()) / 1000))
    return reply
      .header('set-cookie', `${cookie}=${secret}; ${attributes}; Max-Age=${maxAge}`)
      .send({ scope: token.scope, token: { id: token.id, name: token.name }, expiresMs, isSession: true })
  })

  app.post('/console/logout', (request, reply: FastifyReply) => {
    const secret = cookieOf(request.headers.cookie, cookie)
    if (secret !== undefined) sessions.close(secret)
    return reply.header('set-cookie', `${cookie}=; ${attributes}; Max-Age=0`).code(204).send()
  })
}
