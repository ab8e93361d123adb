/**
 * Where to fetch from:
 *
 *   /mirrorlist?tree=T[&version=V][&path=P]   a base a line, for dnf and apt
 *   /metalink?tree=T&path=P[&version=V]       RFC 5854: size, SHA-256 and addresses of a file; `&form=3` for dnf
 *   /nearest/<tree>/[@V/]path                 a redirect to the nearest site
 *
 * All of them lead to `@<sequence>` addresses, so that what a client
 * fetches after is of one snapshot. Lists for apt and dnf have the form that looks back: dnf asks for the list again before it
 * downloads packages, and may have read the metadata of the snapshot before. Only where this site lacks the snapshot does /nearest lead to the plain address of
 * one that has it. None leads to a redirect again. A tree that is called as one of these goes before it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { readWebUrl } from '../../src/base/web-url.ts'
import { isLeftOut } from '../left-out.ts'
import type { Digests } from './digests.ts'
import { METALINK_TYPE, METALINK3_TYPE, metalink3, metalink4 } from './metalink.ts'
import type { Mirror, Mirrors } from './mirrors.ts'
import {
  encodeName,
  encodeSegments,
  parseQueryPath,
  parseTarget,
  type RequestTarget,
  type TargetSegment,
} from './request-target.ts'
import type { Rights } from './rights.ts'
import type { Handler } from './tree-handler.ts'
import type { TreeLookup } from './tree-lookup.ts'
import { chooseVersion, isWholeHere, matchTree, type ServedTree } from './version.ts'

export interface MirrorHandlerComponents {
  readonly mirrors: Mirrors
  readonly lookup: TreeLookup
  readonly digests: Digests
  /** HTTPS is spoken here: the scheme of this node's own address, when nobody has said what it is called. */
  readonly isSecure: boolean
}

export interface MirrorHandlers {
  /** Undefined when the address asks for none of it. */
  handlerOf(target: RequestTarget, rights: Rights): Handler | undefined
}

export function createMirrorHandlers({
  mirrors,
  lookup,
  digests,
  isSecure,
}: MirrorHandlerComponents): MirrorHandlers {
  const sendMirrorList: Handler = async (request, response, target, { rights }) => {
    const { tree, path, sequence } = listed(target, rights)
    const bases = urlsOf(request, tree, sequence, '+').map((url) => `${url}${path}\n`)
    respond(request, response, 'text/plain; charset=utf-8', bases.join(''))
  }

  const sendMetalink: Handler = async (request, response, target, { rights, signal }) => {
    const form = target.query.get('form') ?? '4'
    if (form !== '4' && form !== '3')
      throw new MirrorError('invalid', 'a metalink has the form 4 (RFC 5854) or 3 (for dnf)')
    const { tree, path, selector } = listed(target, rights)
    const { segments } = parseQueryPath(target.rawQuery, 'path') ?? { segments: [] }
    const rest = [...selector, ...segments.map((segment) => ({ ...segment, isSelector: false }))]
    using found = await lookup.find({ tree, rest, isFolderAsked: false, signal })
    const { entry, version } = found
    const name = segments.at(-1)?.name
    if (entry.type !== 'file' || name === undefined)
      throw new MirrorError('invalid', 'a metalink is of a file: its path is missing, or leads to none')
    const file = {
      name,
      sizeBytes: entry.sizeBytes,
      sha256: await digests.sha256(entry, found.readFile, signal),
      modifiedSec: entry.mtimeSec,
      urls: urlsOf(request, tree, version.sequence, form === '3' ? '+' : '').map((url) => url + path),
    }
    if (form === '3') respond(request, response, METALINK3_TYPE, metalink3(file))
    else respond(request, response, METALINK_TYPE, metalink4(file))
  }

  const sendNearest: Handler = async (request, response, target, { rights, signal }) => {
    const match = matchTree(rights.catalogue, target.segments.slice(1))
    if (match === undefined) throw rights.noSuchTree()
    const { tree, rest } = match
    const where = await whereNearest(request, tree, rest, target.hasTrailingSlash, signal)
    const query = target.rawQuery === '' ? '' : `?${new URLSearchParams(target.rawQuery)}`
    response.setHeader('cache-control', 'private, no-store')
    response.writeHead(302, { location: where + query, 'content-length': 0 })
    response.end()
  }

  async function whereNearest(
    request: IncomingMessage,
    tree: ServedTree,
    rest: readonly TargetSegment[],
    isFolderAsked: boolean,
    signal: AbortSignal,
  ): Promise<string> {
    const slash = isFolderAsked && rest.length > 0 ? '/' : ''
    try {
      using found = await lookup.find({ tree, rest, isFolderAsked, isHereOnly: true, signal })
      const { version, names } = found
      const path = names.map(encodeName).join('/')
      const [nearest] = nearestOf(request, tree, version.sequence, { hasSelf: true })
      const base = nearest === undefined || nearest.isSelf ? '/' : nearest.url!
      return `${base}${tree.name}/@${version.sequence}/${path}${path === '' ? '' : slash}`
    } catch (error) {
      if (!isMirrorError(error, 'degraded') && !isLeftOut(error)) throw error
      const { sequence, rest: path, isSelected } = elsewhere(tree, rest, error)
      const nearest = nearestOf(request, tree, sequence).find(({ isSelf }) => !isSelf)
      if (nearest === undefined) throw error
      return `${nearest.url!}${tree.name}/${isSelected ? `@${sequence}/` : ''}${encodeSegments(path)}${path.length === 0 ? '' : slash}`
    }
  }

  /** The version that is meant, where this site does not have it. */
  function elsewhere(tree: ServedTree, rest: readonly TargetSegment[], why: MirrorError) {
    const all = { ...tree, isComplete: () => true }
    const { version, rest: path } = chooseVersion(all, rest)
    if (!version.isLatest) return { sequence: version.sequence, rest: path, isSelected: true }
    const there = mirrors.nearest(tree.name, version.sequence, undefined, { hasSelf: false })
    const sequence = there.length > 0 ? version.sequence : mirrors.newestElsewhere(tree.name)
    if (sequence === undefined) throw why
    return { sequence, rest: path, isSelected: false }
  }

  /** What the query of a list or a metalink names. */
  function listed(target: RequestTarget, rights: Rights) {
    const named = target.query.get('tree') ?? ''
    const tree = rights.catalogue.tree(named)
    if (tree === undefined) {
      if (named !== '') throw rights.noSuchTree()
      throw new MirrorError('invalid', 'no tree is named', { hint: 'Add ?tree=TREE to the address.' })
    }
    const asked = target.query.get('version')
    const selector = asked === null ? [] : parseTarget(`/@${encodeURIComponent(asked)}`).segments
    const version = versionOf(tree, selector)
    const { segments, hasTrailingSlash } = parseQueryPath(target.rawQuery, 'path') ?? {
      segments: [],
      hasTrailingSlash: false,
    }
    const path = segments.map(({ name }) => encodeName(name)).join('/')
    return { tree, selector, sequence: version, path: path + (hasTrailingSlash && path !== '' ? '/' : '') }
  }

  function versionOf(tree: ServedTree, selector: readonly TargetSegment[]): number {
    try {
      const { version, rest } = chooseVersion(tree, selector)
      if (rest.length > 0) throw new MirrorError('not-found', `${tree.name} has no such version`)
      return version.sequence
    } catch (error) {
      if (!isMirrorError(error, 'degraded')) throw error
      return elsewhere(tree, selector, error).sequence
    }
  }

  function nearestOf(
    request: IncomingMessage,
    tree: ServedTree,
    sequence: number,
    { hasSelf = isWholeHere(tree, sequence) } = {},
  ): readonly Mirror[] {
    return mirrors.nearest(tree.name, sequence, request.socket.remoteAddress, { hasSelf })
  }

  /** @throws MirrorError `degraded` when no site has it whose address is known */
  function urlsOf(request: IncomingMessage, tree: ServedTree, sequence: number, plus: '+' | ''): string[] {
    const urls = nearestOf(request, tree, sequence).flatMap(
      ({ url, isSelf }) => url ?? (isSelf ? ownUrl(request) : []),
    )
    if (urls.length > 0) return urls.map((url) => `${url}${tree.name}/@${sequence}${plus}/`)
    throw new MirrorError(
      'degraded',
      `no site that has ${tree.name} at sequence ${sequence} can be named now`,
      {
        hint: 'Sites are named by their setting httpUrl.',
      },
    )
  }

  /** As the client called it: it reached this node by that name. */
  function ownUrl({ headers }: IncomingMessage): string | [] {
    return readWebUrl(`${isSecure ? 'https' : 'http'}://${headers.host ?? ''}/`) ?? []
  }

  const handlers: ReadonlyMap<string, Handler> = new Map([
    ['nearest', sendNearest],
    ['mirrorlist', sendMirrorList],
    ['metalink', sendMetalink],
  ])
  return {
    handlerOf({ segments, hasTrailingSlash }, rights) {
      const word = Buffer.from(segments[0]?.name ?? '').toString('latin1')
      const handler = handlers.get(word)
      if (handler === undefined || matchTree(rights.catalogue, segments) !== undefined) return undefined
      const isPath = segments.length > 1 || hasTrailingSlash
      return isPath === (word === 'nearest') ? handler : undefined
    },
  }
}

function respond(
  request: IncomingMessage,
  response: ServerResponse,
  contentType: string,
  text: string,
): void {
  // The order is the client's own, and the sites change.
  response.setHeader('cache-control', 'private, no-cache')
  response.writeHead(200, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) })
  response.end(request.method === 'HEAD' ? undefined : text)
}
