/**
 * The API of a node: HTTP on a Unix socket, in a folder that only its owner enters. Whoever may open the socket is the
 * operator; there are no tokens here.
 *
 * A socket that a killed daemon left behind is removed: by then this process holds the store's lock, so nobody serves it.
 */
import { chmod, lstat, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import Fastify from 'fastify'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { makeDirs } from '../../src/posix/make-dirs.ts'
import { writeDurably } from '../durable-file.ts'
import type { Paths } from '../paths.ts'
import { addDiffBytesRoute } from './diff-bytes-route.ts'
import { addFetchRoutes } from './fetch-routes.ts'
import { addJobRoutes } from './job-routes.ts'
import { addMemberRoutes } from './member-routes.ts'
import { addMeshRoutes } from './mesh-routes.ts'
import { addPinRoutes } from './pin-routes.ts'
import { problemOf } from './problem.ts'
import type { Services } from './services.ts'
import { addSiteRoutes } from './site-routes.ts'
import { addStoreRoutes } from './store-routes.ts'
import { addTokenRoutes } from './token-routes.ts'
import { addTopologyRoutes } from './topology-routes.ts'
import { addTreeRoutes } from './tree-routes.ts'

export interface Api {
  start(): Promise<void>
  /** Takes no new request, ends streams, and removes the socket. */
  stop(): Promise<void>
}

const MAX_BODY_BYTES = 1024 * 1024

export function createApi(
  services: Services,
  { paths, socket }: { paths: Paths; socket: { readonly file: string; readonly privateDir?: string } },
): Api {
  const app = Fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    // Names of trees have up to 519 characters, and more when percent-encoded.
    routerOptions: { maxParamLength: 2048 },
    forceCloseConnections: true,
  })
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(mended(error), 'answer the request')
    if (problem.status >= 500) services.log.warn({ err: error, url: request.url.slice(0, 512) }, 'api.failed')
    return reply
      .code(problem.status)
      .header('content-type', 'application/problem+json')
      .send(JSON.stringify(problem))
  })
  app.setNotFoundHandler((request) => {
    throw new MirrorError('not-found', `the API has no ${request.method} ${request.url.slice(0, 200)}`, {
      hint: 'Is the daemon older than this program? Restart it.',
    })
  })
  addMeshRoutes(app, services)
  addMemberRoutes(app, services)
  addPinRoutes(app, services)
  addSiteRoutes(app, services)
  addTopologyRoutes(app, services)
  addFetchRoutes(app, services)
  addTreeRoutes(app, services)
  addDiffBytesRoute(app, services)
  addJobRoutes(app, services)
  addStoreRoutes(app, services)
  addTokenRoutes(app, services)

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
    },
    async stop() {
      await app.close()
      await rm(socket.file, { force: true })
      if (socket.privateDir !== undefined) await rm(dirname(socket.file), { recursive: true, force: true })
    },
  }
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
