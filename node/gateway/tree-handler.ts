/**
 * `/<tree>/...`: finds the version, walks to the file or folder, and answers. Everything is read through the one
 * catalogue and the verified store; nothing on this path knows of the machine's own files.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { printableName, utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import type { FileDescriber } from './describe-file.ts'
import { sendFile, type WholeAnswer } from './file-response.ts'
import { sendFolder, sendListing } from './folder-response.ts'
import { type HotAnswers, MAX_HOT_BODY_BYTES } from './hot-answers.ts'
import type { ListingRow } from './listing-row.ts'
import { encodeSegments, type RequestTarget, type TargetSegment } from './request-target.ts'
import type { Rights } from './rights.ts'
import type { SendOptions } from './send-body.ts'
import type { TreeLookup } from './tree-lookup.ts'
import { type ChosenVersion, matchTree, type ServedTree } from './version.ts'

export interface TreeHandlerComponents {
  readonly lookup: TreeLookup
  readonly scratch: Scratch
  readonly describer: FileDescriber
  /** Keeps what may be answered again at once. */
  readonly hot: Pick<HotAnswers, 'note'>
}

export interface AnswerOptions extends SendOptions {
  readonly rights: Rights
}

export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  options: AnswerOptions,
) => Promise<void>

export function createTreeHandler({ lookup, scratch, describer, hot }: TreeHandlerComponents): Handler {
  return async (request, response, target, options) => {
    const match = matchTree(options.rights.catalogue, target.segments)
    if (match === undefined) {
      await sendTreeNames(request, response, target, options.rights, options)
      return
    }
    const { tree, rest } = match
    const { signal } = options
    const revision = options.rights.catalogue.revision()
    let versions = 0
    using found = await lookup.find({
      tree,
      rest,
      isFolderAsked: target.hasTrailingSlash,
      signal,
      onVersion(version) {
        versions++
        setVersionHeaders(response, tree, version)
      },
    })
    const { version, snapshot, entry, names, blocks, readFile } = found
    if (entry.type === 'file') {
      const file = { tree, version, names, entry }
      await describer.learnDigest(request, entry, readFile, signal)
      setAll(response, describer.headersOf(file)(request.socket.remoteAddress))
      const name = target.segments.at(-1)!.name
      // What was found in a snapshot before is not what the address will go on to mean.
      const onWhole =
        versions === 1 && request.headers.authorization === undefined
          ? (answer: WholeAnswer) => hot.note(request.url ?? '', { ...answer, file, revision })
          : undefined
      const { isImmutable } = version
      await sendFile(
        request,
        response,
        { entry, name, isImmutable, readFile, onWhole, maxWholeBytes: MAX_HOT_BODY_BYTES },
        options,
      )
      return
    }
    if (entry.type !== 'directory') {
      throw new MirrorError(
        'refused',
        `${tree.name}@${version.sequence}: a ${entry.type} has no content to serve`,
        {
          hint: 'Check the tree out to have it as it is.',
        },
      )
    }
    if (!target.hasTrailingSlash) {
      redirectToFolder(response, target)
      return
    }
    const head = {
      tree: tree.name,
      sequence: version.sequence,
      snapshot: version.snapshot.toString(),
      behind: version.behind,
      path: printablePath(target.segments),
    }
    const { files, directories, symlinks, specials = 0 } = snapshot.counts
    const folder = {
      entry,
      head,
      archiveName: archiveNameOf(tree, version, names),
      maxEntries: files + directories + symlinks + specials,
    }
    await sendFolder(request, response, target, { blocks, readFile, scratch }, folder, options)
  }
}

/** Tree, sequence and folder, in characters that need no quotes anywhere. */
function archiveNameOf(tree: ServedTree, { sequence }: ChosenVersion, names: readonly Uint8Array[]): string {
  const words = [tree.name, String(sequence), ...names.slice(-1).map((name) => printableName(name))]
  return words
    .map((word) => word.replace(/[^A-Za-z0-9._+-]+/g, '-'))
    .join('_')
    .slice(0, 200)
}

/** Above the trees: the folders that their names make. */
async function sendTreeNames(
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  { catalogue, noSuchTree }: Rights,
  options: SendOptions,
): Promise<void> {
  const prefix = target.segments.map((segment) => `${Buffer.from(segment.name).toString('latin1')}/`).join('')
  const children = new Set<string>()
  for (const name of catalogue.names()) {
    if (name.startsWith(prefix)) children.add(name.slice(prefix.length).split('/')[0]!)
  }
  if (children.size === 0 && prefix !== '') throw noSuchTree()
  if (!target.hasTrailingSlash) {
    redirectToFolder(response, target)
    return
  }
  // Others may see other trees here.
  response.setHeader('cache-control', 'private, no-cache')
  response.setHeader('vary', 'authorization')
  const rows: ListingRow[] = [...children].sort().map((name) => ({ type: 'folder', name: utf8(name) }))
  await sendListing(request, response, target, { path: printablePath(target.segments) }, () => rows, options)
}

function setVersionHeaders(response: ServerResponse, tree: ServedTree, version: ChosenVersion): void {
  response.setHeader('x-mirrormesh-tree', tree.name)
  response.setHeader('x-mirrormesh-sequence', version.sequence)
  response.setHeader('x-mirrormesh-snapshot', version.snapshot.toString())
  response.setHeader('x-mirrormesh-behind', version.behind)
  if (!version.isComplete) response.setHeader('x-mirrormesh-complete', 'false')
  const whose = tree.isPrivate ? 'private' : 'public'
  response.setHeader(
    'cache-control',
    version.isImmutable ? `${whose}, max-age=604800, immutable` : `${whose}, no-cache`,
  )
  if (tree.isPrivate) response.setHeader('vary', 'authorization')
}

function setAll(response: ServerResponse, headers: readonly string[]): void {
  for (let at = 0; at < headers.length; at += 2) response.setHeader(headers[at]!, headers[at + 1]!)
}

/** Relative addresses in a listing need the slash. Not permanent: the next snapshot may have a file of that name. */
function redirectToFolder(response: ServerResponse, target: RequestTarget): void {
  const path = target.segments.length === 0 ? '' : `/${encodeSegments(target.segments)}`
  const query = target.query.toString()
  response.setHeader('cache-control', 'no-cache')
  response.writeHead(302, { location: `${path}/${query === '' ? '' : `?${query}`}`, 'content-length': 0 })
  response.end()
}

function printablePath(segments: readonly TargetSegment[]): string {
  return `/${segments.map((segment) => `${printableName(segment.name)}/`).join('')}`
}
