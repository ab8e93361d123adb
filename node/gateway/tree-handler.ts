/**
 * `/<tree>/...`: finds the version, walks to the file or folder, and answers. Everything is read through the one
 * catalogue and the verified store; nothing on this path knows of the machine's own files.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import { concatBytes, printableName, utf8 } from '../../src/base/bytes.ts'
import type { Clock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import type { NodeSource } from '../../src/dag/reader.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import { decodeSnapshot, type Snapshot } from '../../src/dag/snapshot.ts'
import { type ReadFile, sendFile } from './file-response.ts'
import { findEntry } from './find-entry.ts'
import { sendFolder, sendListing } from './folder-response.ts'
import type { ListingRow } from './listing-row.ts'
import { createMovedPaths } from './moved-path.ts'
import { encodeName, type RequestTarget, type TargetSegment } from './request-target.ts'
import type { Rights } from './rights.ts'
import type { SendOptions } from './send-body.ts'
import { behindOf, type ChosenVersion, chooseVersion, matchTree, type ServedTree } from './version.ts'

export interface TreeHandlerComponents {
  readonly blocks: NodeSource
  readonly readFile: ReadFile
  /** Keeps a snapshot whole while an answer is made of it. */
  readonly hold: (snapshot: Cid) => Disposable
  /** Reads what is not complete here out of the mesh; absent where this site does not do that. */
  readonly pull?: PullSource | undefined
  readonly scratch: Scratch
  readonly clock: Clock
}

/** Where the blocks of one answer come from. */
export interface AnswerSource {
  readonly blocks: NodeSource
  readonly readFile: ReadFile
}

export interface PullSource {
  mayPull(tree: string): boolean
  open(tree: string, snapshot: Cid): AnswerSource
}

export interface TreeHandlerOptions {
  /** How long a path that is gone from a tree's plain address is looked for in the snapshots before. */
  readonly keepMovedMs: number
}

export type TreeHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  options: SendOptions & { readonly rights: Rights },
) => Promise<void>

const MAX_CACHED_SNAPSHOTS = 64

export function createTreeHandler(
  { blocks: stored, readFile: readStored, hold, pull, scratch, clock }: TreeHandlerComponents,
  { keepMovedMs }: TreeHandlerOptions,
): TreeHandler {
  const here: AnswerSource = { blocks: stored, readFile: readStored }
  const snapshots = new LRUCache<string, Snapshot>({ max: MAX_CACHED_SNAPSHOTS })
  const moved = createMovedPaths({ blocks: stored, readSnapshot, clock }, { keepMs: keepMovedMs })

  async function readSnapshot(cid: Cid, signal: AbortSignal, blocks = stored): Promise<Snapshot> {
    const key = cidKey(cid)
    const known = snapshots.get(key)
    if (known !== undefined) return known
    const bytes = await blocks.get(cid, signal)
    if (bytes === undefined) {
      throw new MirrorError('degraded', 'the snapshot is being repaired at this site', {
        facts: { cid: cid.toString() },
      })
    }
    const snapshot = decodeSnapshot(cid, bytes)
    snapshots.set(key, snapshot)
    return snapshot
  }

  return async (request, response, target, options) => {
    const match = matchTree(options.rights.catalogue, target.segments)
    if (match === undefined) {
      await sendTreeNames(request, response, target, options.rights, options)
      return
    }
    const { tree } = match
    const canPull = pull?.mayPull(tree.name) ?? false
    const { version, rest } = chooseVersion(tree, match.rest, { canPull })
    const { blocks, readFile } =
      version.isComplete || pull === undefined ? here : pull.open(tree.name, version.snapshot)
    using _held = hold(version.snapshot)
    const mayHaveMoved = version.isLatest && version.isComplete
    if (mayHaveMoved) moved.note(tree.name, version)
    setVersionHeaders(response, tree, version)
    const snapshot = await readSnapshot(version.snapshot, options.signal, blocks)
    const names = rest.map((segment) => segment.name)
    const isFolderAsked = target.hasTrailingSlash && target.segments.length > 0
    const entry = await findEntry(blocks, snapshot.root, names, options.signal)
    const name = target.segments.at(-1)!.name
    if (entry === undefined || (entry.type === 'file' && isFolderAsked)) {
      const before =
        mayHaveMoved && !isFolderAsked ? await moved.find(tree, version, names, options.signal) : undefined
      if (before === undefined) throw notThere(tree.name, version.sequence, names)
      const older = { ...version, ...before.version, behind: behindOf(tree, before.version) }
      using _heldToo = hold(older.snapshot)
      setVersionHeaders(response, tree, older)
      await sendFile(request, response, { entry: before.entry, name, isImmutable: false, readFile }, options)
      return
    }
    if (entry.type === 'file') {
      await sendFile(request, response, { entry, name, isImmutable: version.isImmutable, readFile }, options)
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

/** Relative addresses in a listing need the slash. Not permanent: the next snapshot may have a file of that name. */
function redirectToFolder(response: ServerResponse, target: RequestTarget): void {
  const path = target.segments.map((segment) => `/${encodeSegment(segment)}`).join('')
  const query = target.query.toString()
  response.setHeader('cache-control', 'no-cache')
  response.writeHead(302, { location: `${path}/${query === '' ? '' : `?${query}`}`, 'content-length': 0 })
  response.end()
}

function encodeSegment({ name, isSelector }: TargetSegment): string {
  return isSelector ? `@${encodeName(name.subarray(1))}` : encodeName(name)
}

function printablePath(segments: readonly TargetSegment[]): string {
  return `/${segments.map((segment) => `${printableName(segment.name)}/`).join('')}`
}

function notThere(tree: string, sequence: number, names: readonly Uint8Array[]): MirrorError {
  const path = printableName(concatBytes(names.flatMap((name) => [utf8('/'), name])))
  return new MirrorError('not-found', `${tree} at sequence ${sequence} has no ${path}`)
}
