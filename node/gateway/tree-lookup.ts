/**
 * From a tree and the names behind it to what lies there: the version that is meant, held while an answer is made of
 * it, and the walk to the entry; for a file that is gone from an address that looks back, the version before that has it.
 */
import { LRUCache } from 'lru-cache'
import { concatBytes, printableName, utf8 } from '../../src/base/bytes.ts'
import type { Clock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { entryWeight } from '../../src/dag/entry-weight.ts'
import type { NodeSource } from '../../src/dag/reader.ts'
import { decodeSnapshot, type Snapshot } from '../../src/dag/snapshot.ts'
import { isLeftOut, leftOut } from '../left-out.ts'
import type { ReadFile } from './file-response.ts'
import { findEntry } from './find-entry.ts'
import { createHotDirectories } from './hot-directories.ts'
import { createMovedPaths } from './moved-path.ts'
import type { TargetSegment } from './request-target.ts'
import { behindOf, type ChosenVersion, chooseVersion, type ServedTree } from './version.ts'

/** Where the blocks of one answer come from. */
export interface AnswerSource {
  readonly blocks: NodeSource
  readonly readFile: ReadFile
}

export interface PullSource {
  mayPull(tree: string): boolean
  open(tree: string, snapshot: Cid): AnswerSource
}

export interface TreeLookupComponents {
  readonly blocks: NodeSource
  readonly readFile: ReadFile
  /** The block to read a snapshot from: where this site keeps a part of it, its view's. */
  readonly shown?: (snapshot: Cid) => Cid
  /** Keeps a snapshot whole while an answer is made of it. */
  readonly hold: (snapshot: Cid) => Disposable
  /** Reads what is not complete here out of the mesh; absent where this site does not do that. */
  readonly pull?: PullSource | undefined
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>
}

export interface TreeLookupOptions {
  /** How long a path that is gone from a tree's plain address is looked for in the snapshots before. */
  readonly keepMovedMs: number
}

export interface Found extends AnswerSource, Disposable {
  readonly version: ChosenVersion
  readonly snapshot: Snapshot
  readonly entry: Exclude<Entry, { type: 'symlink' }>
  /** Below the tree, without what names a version. */
  readonly names: readonly Uint8Array[]
}

export interface LookupRequest {
  readonly tree: ServedTree
  /** What stands behind the tree's name: a version, perhaps, and a path. */
  readonly rest: readonly TargetSegment[]
  /** Only a folder will do: the address ends in a slash. */
  readonly isFolderAsked: boolean
  /** What is not complete here is not pulled: the client can go where it is. */
  readonly isHereOnly?: boolean
  readonly signal: AbortSignal
  /** Told the version as soon as it is chosen, and again when an older one takes its place. */
  readonly onVersion?: (version: ChosenVersion) => void
}

export interface TreeLookup {
  /**
   * Dispose of what it finds when the answer is sent.
   * @throws MirrorError `not-found` when nothing is there, `degraded` when the version is not complete here
   */
  find(request: LookupRequest): Promise<Found>
  /** The version, complete here, was shown at its tree's plain address. `find` says so itself. */
  noteShown(tree: string, version: ChosenVersion): void
}

const MAX_CACHED_SNAPSHOTS = 64
/** By weight: small files that lie in their entries count as several. */
const MAX_CACHED_ENTRIES = 8192
const MAX_CACHED_PATH = 1024

export function createTreeLookup(
  {
    blocks: stored,
    readFile: readStored,
    shown = (snapshot) => snapshot,
    hold,
    pull,
    clock,
  }: TreeLookupComponents,
  { keepMovedMs }: TreeLookupOptions,
): TreeLookup {
  const snapshots = new LRUCache<string, Snapshot>({ max: MAX_CACHED_SNAPSHOTS })
  const here: AnswerSource = { blocks: stored, readFile: readStored }
  /** By root and path: where a path leads in a root never changes. */
  const entries = new LRUCache<string, NonNullable<Awaited<ReturnType<typeof findEntry>>>>({
    maxSize: MAX_CACHED_ENTRIES,
    sizeCalculation: entryWeight,
  })
  const directories = createHotDirectories()
  const moved = createMovedPaths({ blocks: stored, readSnapshot, clock }, { keepMs: keepMovedMs })

  async function readSnapshot(snapshotCid: Cid, signal: AbortSignal, blocks = stored): Promise<Snapshot> {
    return readBlock(blocks === stored ? shown(snapshotCid) : snapshotCid, signal, blocks)
  }

  async function readBlock(cid: Cid, signal: AbortSignal, blocks = stored): Promise<Snapshot> {
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

  async function findCached(
    root: Entry,
    names: readonly Uint8Array[],
    signal: AbortSignal,
    blocks: NodeSource,
  ): ReturnType<typeof findEntry> {
    if (blocks !== stored || root.type !== 'directory') return findEntry(blocks, root, names, signal)
    const path = names.map((name) =>
      Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1'),
    )
    const key = `${cidKey(root.directory)}/${path.join('/')}`
    const known = entries.get(key)
    if (known !== undefined) return known
    const found = await findEntry(blocks, root, names, signal, directories)
    if (found !== undefined && key.length <= MAX_CACHED_PATH) entries.set(key, found)
    return found
  }

  /** A path that the snapshot has, and this site does not keep, is told as such. */
  async function explainAbsence(
    tree: ServedTree,
    { snapshot, sequence }: ChosenVersion,
    names: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<MirrorError> {
    const filter = tree.filterOf?.(snapshot)
    if (filter !== undefined) {
      const { root } = await readBlock(snapshot, signal)
      if ((await findEntry(stored, root, names, signal)) !== undefined)
        return leftOut(`${tree.name} at sequence ${sequence}`, pathText(names), filter)
    }
    return notThere(tree.name, sequence, names)
  }

  return {
    noteShown: moved.note,
    async find({ tree, rest: behindTree, isFolderAsked, isHereOnly = false, signal, onVersion }) {
      const canPull = !isHereOnly && (pull?.mayPull(tree.name) ?? false)
      const { version, rest } = chooseVersion(tree, behindTree, { canPull })
      const source = version.isComplete || pull === undefined ? here : pull.open(tree.name, version.snapshot)
      const { blocks } = source
      using held = new DisposableStack()
      held.use(hold(version.snapshot))
      if (version.isLatest && version.isComplete) moved.note(tree.name, version)
      onVersion?.(version)
      const snapshot = await readSnapshot(version.snapshot, signal, blocks)
      const names = rest.map(({ name }) => name)
      const entry = await findCached(snapshot.root, names, signal, blocks)
      if (entry !== undefined && !(entry.type === 'file' && isFolderAsked && names.length > 0))
        return owning(held.move(), { ...source, version, snapshot, entry, names })
      const absence = await explainAbsence(tree, version, names, signal)
      // What the snapshot has, though not here, did not move: an older one's would be another file.
      const mayHaveMoved = version.looksBack && version.isComplete && !isFolderAsked && !isLeftOut(absence)
      const before = mayHaveMoved ? await moved.find(tree, version, names, signal) : undefined
      if (before === undefined) throw absence
      const behind = behindOf(tree, before.version)
      const older = { ...version, ...before.version, behind, isImmutable: false }
      held.use(hold(older.snapshot))
      // While it was looked for, it may have been chosen to go.
      if (!tree.isComplete(older.snapshot)) throw absence
      onVersion?.(older)
      return owning(held.move(), { ...source, version: older, snapshot, entry: before.entry, names })
    },
  }
}

function owning(held: DisposableStack, found: Omit<Found, typeof Symbol.dispose>): Found {
  return { ...found, [Symbol.dispose]: () => held.dispose() }
}

function notThere(tree: string, sequence: number, names: readonly Uint8Array[]): MirrorError {
  const isVersionMeant = names[0]?.[0] === 0x40
  return new MirrorError('not-found', `${tree} at sequence ${sequence} has no ${pathText(names)}`, {
    ...(isVersionMeant ? { hint: 'Nor is there a version of that name: a tag, a sequence, or @head.' } : {}),
  })
}

function pathText(names: readonly Uint8Array[]): string {
  return printableName(concatBytes(names.flatMap((name) => [utf8('/'), name])))
}
