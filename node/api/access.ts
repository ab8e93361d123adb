/** What a request may do, and by whose token. On the Unix socket everything, as its file mode decides who may open it. */
import { MirrorError } from '../../src/base/errors.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'
import { isPrivateTree } from '../../src/replica/holdings/tree-views.ts'
import { scopeCovers, type TokenScope } from '../tokens.ts'
import type { Asked, RouteSpec } from './route-spec.ts'

export interface Access {
  readonly scope: TokenScope
  /** Id and name of the token; null on the Unix socket. */
  readonly token: { readonly id: string; readonly name: string } | null
  /** When it ends; null: never. */
  readonly expiresMs: number | null
  readonly isSession: boolean
}

export const SOCKET_ACCESS: Access = { scope: 'admin', token: null, expiresMs: null, isSession: false }

declare module 'fastify' {
  interface FastifyRequest {
    access: Access
  }
}

/** Before the body is read: what no request to this route can do without. @throws MirrorError `refused` */
export function checkLeast({ scope }: Access, spec: RouteSpec | undefined): void {
  const needed = spec?.scope ?? 'admin'
  check(scope, typeof needed === 'string' ? needed : needed.least)
}

/** @throws MirrorError `refused` */
export function checkAsked({ scope }: Access, spec: RouteSpec | undefined, asked: Asked): void {
  const needed = spec?.scope ?? 'admin'
  if (typeof needed !== 'string') check(scope, needed.of(asked))
}

/**
 * To look inside of a private tree one has to be more than a reader of the status.
 * @throws MirrorError `refused`
 */
export function checkInside({ scope }: Access, state: Pick<MeshState, 'trees'>, tree: string): void {
  if (state.trees.has(tree) && isPrivateTree(state, tree)) check(scope, 'operate')
}

function check(scope: TokenScope, needed: TokenScope): void {
  if (scopeCovers(scope, needed)) return
  throw new MirrorError(
    'refused',
    `this needs a token of the scope ${needed}; yours is of the scope ${scope}`,
    {
      facts: { needed, scope },
      hint: `At the node: mirrormesh token create --name NAME --scope ${needed}`,
    },
  )
}
