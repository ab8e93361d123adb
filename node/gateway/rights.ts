/**
 * What one request may see: all public trees, and the private ones that its token opens. Everything behind it gets a
 * catalogue that holds nothing else, so that a private tree is for others what a tree that does not exist is: in the answer, in the
 * listing, in the time that it takes.
 *
 * A token comes as a bearer (RFC 6750), or as the password of any user (RFC 7617): apt, dnf, curl and browsers know the second.
 */
import type { IncomingMessage } from 'node:http'
import { MirrorError } from '../../src/base/errors.ts'
import { matchesTree } from '../../src/base/names.ts'
import type { Tokens } from '../tokens.ts'
import type { Catalogue } from './version.ts'

export interface Rights {
  /** Of what the request may see. */
  readonly catalogue: Catalogue
  /** What to throw where the address leads to no tree: with a right token it might. */
  noSuchTree(): MirrorError
}

/** Both are offered; the first is what programs without a notion of tokens take. */
export const CHALLENGES: readonly string[] = [
  'Basic realm="mirrormesh", charset="UTF-8"',
  'Bearer realm="mirrormesh"',
]

const MAX_HEADER_BYTES = 1024

export function rightsOf(
  { headers }: Pick<IncomingMessage, 'headers'>,
  {
    catalogue,
    tokens,
  }: { readonly catalogue: Catalogue; readonly tokens: Pick<Tokens, 'check'> | undefined },
): Rights {
  const shown = tokenIn(headers.authorization)
  const token = shown === undefined ? undefined : tokens?.check(shown, 'gateway')
  const isSeen = (name: string): boolean =>
    catalogue.isPrivate(name) === false || token?.trees.some((pattern) => matchesTree(pattern, name)) === true
  return {
    catalogue: {
      names: () => catalogue.names().filter(isSeen),
      isPrivate: catalogue.isPrivate,
      tree: (name) => (isSeen(name) ? catalogue.tree(name) : undefined),
      revision: catalogue.revision,
    },
    noSuchTree() {
      // Where nothing is private no token helps, and 404 is what clients expect.
      if (token !== undefined || !catalogue.names().some((name) => catalogue.isPrivate(name)))
        return new MirrorError('not-found', 'this mesh has no tree of that name', {
          hint: 'The address / lists the trees. This is the gateway: the API and the console are where the config says apiListen.',
        })
      return new MirrorError('refused', 'there is no such tree for those who show no token', {
        facts: { needsToken: true },
        hint: 'The address / lists the trees that anybody may read. For others send a token of this node, as a bearer or as the password of any user.',
      })
    },
  }
}

export function needsToken({ facts }: MirrorError): boolean {
  return facts.needsToken === true
}

/** The token in an Authorization header, in either form. */
export function tokenIn(header: string | undefined): string | undefined {
  if (header === undefined || header.length > MAX_HEADER_BYTES) return undefined
  const [, scheme = '', value = ''] = /^ *([A-Za-z]+) +([A-Za-z0-9._~+/=-]+) *$/.exec(header) ?? []
  if (/^bearer$/i.test(scheme)) return value
  if (!/^basic$/i.test(scheme)) return undefined
  const text = Buffer.from(value, 'base64').toString('latin1')
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : text.slice(colon + 1)
}
