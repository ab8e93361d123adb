/**
 * The API of a node: HTTP on a Unix socket, in a folder that only its owner enters. Whoever may open the socket is the
 * operator; there are no tokens here. By TCP (`apiListen`) the same routes stand behind a guard, beside the console.
 *
 * A socket that a killed daemon left behind is removed: by then this process holds the store's lock, so nobody serves it.
 */
import { chmod, lstat, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { makeDirs } from '../../src/posix/make-dirs.ts'
import { writeDurably } from '../durable-file.ts'
import { type LoadedCertificate, loadCertificate } from '../gateway/certificate.ts'
import type { Paths } from '../paths.ts'
import { readVersion } from '../version.ts'
import { SOCKET_ACCESS } from './access.ts'
import { createEventFeed, type EventFeed } from './event-feed.ts'
import { eventSources } from './event-sources.ts'
import { createFailureLimit } from './failure-limit.ts'
import { addGuard } from './guard.ts'
import { addOpenApiRoute, collectRoutes, type Route } from './openapi.ts'
import { problemOf, sendProblem } from './problem.ts'
import { addConfigRoutes } from './routes/config-routes.ts'
import { addConsoleRoutes, type ConsoleFiles } from './routes/console-routes.ts'
import { addDiffBytesRoute } from './routes/diff-bytes-route.ts'
import { addEntriesRoute } from './routes/entries-route.ts'
import { addEventRoutes } from './routes/event-routes.ts'
import { addFetchRoutes } from './routes/fetch-routes.ts'
import { addGrantRoutes } from './routes/grant-routes.ts'
import { addHistoryRoutes } from './routes/history-routes.ts'
import { addInviteRoutes } from './routes/invite-routes.ts'
import { addJobRoutes } from './routes/job-routes.ts'
import { addLimitRoutes } from './routes/limit-routes.ts'
import { addMemberRoutes } from './routes/member-routes.ts'
import { addMeshRoutes } from './routes/mesh-routes.ts'
import { addOperatorRoutes } from './routes/operator-routes.ts'
import { addPauseRoutes } from './routes/pause-routes.ts'
import { addPinRoutes } from './routes/pin-routes.ts'
import { addRequestRoutes } from './routes/request-routes.ts'
import { addSiteFetchRoutes } from './routes/site-fetch-routes.ts'
import { addSiteRoutes } from './routes/site-routes.ts'
import { addStoreRoutes } from './routes/store-routes.ts'
import { addTakedownRoutes } from './routes/takedown-routes.ts'
import { addTokenRoutes } from './routes/token-routes.ts'
import { addTopologyRoutes } from './routes/topology-routes.ts'
import { addTreeRoutes } from './routes/tree-routes.ts'
import { addUploadRoutes } from './routes/upload-routes.ts'
import type { Services } from './services.ts'
import { createSessions } from './sessions.ts'
import { createTcpListener, TCP_SERVER_LIMITS, type TcpListener, type TcpPlace } from './tcp-listener.ts'

export interface Api {
  start(): Promise<void>
  /** Takes no new request, ends streams, and removes the socket. */
  stop(): Promise<void>
  /** Where browsers find it; undefined without `apiListen`. */
  url(): string | undefined
}

const MAX_BODY_BYTES = 1024 * 1024

export interface ApiOptions {
  readonly paths: Paths
  /** Of this node. */
  readonly peer: string
  readonly socket: { readonly file: string; readonly privateDir?: string }
  /** Undefined: on the Unix socket only. */
  readonly tcp?: TcpPlace | undefined
  readonly loadConsole?: (() => ConsoleFiles) | undefined
}

export function createApi(services: Services, { paths, peer, socket, tcp, loadConsole }: ApiOptions): Api {
  const app = makeApp(services)
  app.addHook('onRequest', async (request) => {
    request.access = SOCKET_ACCESS
  })
  // Both doors lead to the same: an id of an event is good at either.
  const feed = createEventFeed({ clock: services.clock, sources: eventSources(services) })
  addRoutes(app, services, feed)
  const tcpListener = tcp === undefined ? undefined : makeTcp(services, feed, tcp, { peer, loadConsole })

  return {
    async start() {
      try {
        makeDirs(paths.runDir, 0o700)
        if (socket.privateDir !== undefined) {
          await makeOwnDir(socket.privateDir)
          await writeDurably(paths.socketPointerFile, `${socket.file}\n`, { mode: 0o644 })
        }
        await rm(socket.file, { force: true })
        await app.listen({ path: socket.file })
        await chmod(socket.file, 0o600)
      } catch (error) {
        throw asMirrorError(error, `listen for commands on ${socket.file}`)
      }
      await tcpListener?.start()
    },
    async stop() {
      feed.stop()
      await tcpListener?.stop()
      await app.close()
      await rm(socket.file, { force: true })
      if (socket.privateDir !== undefined) await rm(dirname(socket.file), { recursive: true, force: true })
    },
    url: () => tcpListener?.url(),
  }
}

/** Over TLS with what is loaded; by plain TCP with null; for the socket with neither. */
function makeApp(services: Services, secure?: LoadedCertificate | null): FastifyInstance {
  const options = {
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    // Names of trees have up to 519 characters, and more when percent-encoded.
    routerOptions: { maxParamLength: 2048 },
    forceCloseConnections: true,
  } as const
  const app = secure === undefined ? Fastify(options) : makeTcpApp(options, secure)
  // What comes as text could come from a form of any page.
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(mended(error), 'answer the request')
    if (problem.status >= 500) services.log.warn({ err: error, url: request.url.slice(0, 512) }, 'api.failed')
    return sendProblem(reply, mended(error))
  })
  app.setNotFoundHandler((request) => {
    throw new MirrorError('not-found', `the API has no ${request.method} ${request.url.slice(0, 200)}`, {
      hint: 'Is the daemon older than this program? Restart it.',
    })
  })
  return app
}

/** Fastify sets these two anew, whatever its server was made with. */
export function makeTcpApp(
  options: object,
  secure: LoadedCertificate | null,
  limits: {
    readonly headersTimeout: number
    readonly requestTimeout: number
    readonly keepAliveTimeout: number
    readonly connectionsCheckingInterval: number
  } = TCP_SERVER_LIMITS,
): FastifyInstance {
  const { requestTimeout, keepAliveTimeout } = limits
  const all = { ...options, requestTimeout, keepAliveTimeout }
  return secure === null
    ? Fastify({ ...all, http: limits })
    : (Fastify({
        ...all,
        https: { ...limits, ...secure, minVersion: 'TLSv1.2' },
      }) as unknown as FastifyInstance)
}

/** Returns what there is, for the one who describes it. */
export function addRoutes(app: FastifyInstance, services: Services, feed: EventFeed): readonly Route[] {
  const routes = collectRoutes(app)
  addEventRoutes(app, services, feed)
  addMeshRoutes(app, services)
  addMemberRoutes(app, services)
  addInviteRoutes(app, services)
  addGrantRoutes(app, services)
  addOperatorRoutes(app, services)
  addRequestRoutes(app, services)
  addUploadRoutes(app, services)
  addPinRoutes(app, services)
  addTopologyRoutes(app, services)
  addFetchRoutes(app, services)
  addPauseRoutes(app, services)
  addTreeRoutes(app, services)
  addEntriesRoute(app, services)
  addDiffBytesRoute(app, services)
  addJobRoutes(app, services)
  addStoreRoutes(app, services)
  addSiteRoutes(app, services)
  addTakedownRoutes(app, services)
  addSiteFetchRoutes(app, services)
  addTokenRoutes(app, services)
  addHistoryRoutes(app, services)
  addLimitRoutes(app, services)
  addConfigRoutes(app, services)
  addOpenApiRoute(app, routes, { version: readVersion() })
  return routes
}

function makeTcp(
  services: Services,
  feed: EventFeed,
  place: TcpPlace,
  { peer, loadConsole: loadFiles }: Pick<ApiOptions, 'peer' | 'loadConsole'>,
): TcpListener {
  const { tokens, clock, log } = services
  let certificate = place.files === undefined ? undefined : loadCertificate(place.files, 'api')
  const app = makeApp(services, certificate ?? null)
  const sessions = createSessions({ tokens, clock })
  const failures = createFailureLimit({ clock })
  const isSecure = certificate !== undefined
  // Browsers keep cookies by host, whatever the port: two nodes on one machine must not log each other out.
  const cookie = `${isSecure ? '__Host-' : ''}mirrormesh-${peer.slice(-12)}`
  addGuard(
    app,
    { tokens, sessions, failures, log },
    {
      hosts: place.names,
      certificate: isSecure ? () => certificate!.cert : undefined,
      cookie,
    },
  )
  addRoutes(app, services, feed)
  addConsoleRoutes(app, { tokens, sessions, failures, clock, log, loadFiles }, { cookie, isSecure })
  return createTcpListener(app, place, {
    clock,
    log,
    onCertificate(loaded) {
      certificate = loaded
    },
  })
}

/** What fastify itself refuses (a body too large, not JSON) is the client's fault, not a defect. */
function mended(error: unknown): unknown {
  const { statusCode, message } = error as { statusCode?: number; message?: string }
  if (error instanceof MirrorError || statusCode === undefined || statusCode >= 500) return error
  return new MirrorError(statusCode === 413 ? 'limit' : 'invalid', message ?? 'malformed request', {
    cause: error,
  })
}

/** In a folder for everybody (/tmp): somebody else may have made it first, to listen in our place. */
async function makeOwnDir(dir: string): Promise<void> {
  makeDirs(dir, 0o700)
  const found = await lstat(dir)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new MirrorError('refused', `${dir} is not a folder of this user alone`, {
      hint: 'Remove it, or choose a shorter --home, so that the socket fits there.',
    })
  }
}
