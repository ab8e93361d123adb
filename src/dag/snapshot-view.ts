/**
 * The view of a snapshot under a path filter: what a site that keeps only some paths of it holds, and shows.
 *
 * Such a site holds the shape of the whole tree (every node: directories, lists of chunks, attributes) and of the contents
 * those under the filter. So which positions of the block index it wants follows from the snapshot and the filter alone: all
 * nodes, and the chunks that the pruned root reaches. The pruned root has the directories on the way to something under the
 * filter written anew, and all others as they are. The view is a snapshot block of its own with that root, the same index and
 * the counts of what it holds: it never leaves the site, and any reader of snapshots reads it.
 */
import { MirrorError } from '../base/errors.ts'
import { compileFilter, type PathFilter } from '../base/path-filter.ts'
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { RAW } from '../block/cid.ts'
import { closure } from './closure.ts'
import { createDirectoryBuilder } from './directory.ts'
import type { Entry } from './entry.ts'
import { isSpecial } from './entry.ts'
import { createFingerprintSet } from './fingerprint-set.ts'
import { readDirectory } from './read-directory.ts'
import { listPages, readPage } from './read-index.ts'
import type { Scratch } from './scratch.ts'
import { encodeSnapshot, type Snapshot } from './snapshot.ts'
import type { NodeSource } from './source.ts'
import { childPath, ROOT_PATH, type TreePath } from './tree-path.ts'
import { walk } from './walk.ts'

/** Which blocks of a snapshot's index a view needs. */
export interface ViewBlocks {
  has(cid: Cid): boolean
  /** Gives the scratch back. */
  close(): void
}

export interface ViewOptions {
  /** Stores rebuilt nodes, and the view itself: called before anything is read that they lead to. */
  readonly put: (blocks: readonly Block[]) => Promise<void>
  readonly signal?: AbortSignal | undefined
  readonly scratch?: Scratch | undefined
}

/**
 * Makes the view. The nodes of the snapshot and its index have to be in `source`, and what was `put`.
 * @throws MirrorError `not-found` when a node is missing, `corrupt` for a malformed one
 */
export async function makeView(
  source: NodeSource,
  snapshot: Snapshot,
  filter: PathFilter,
  { put, signal, scratch }: ViewOptions,
): Promise<{ readonly cid: Cid; readonly view: Snapshot }> {
  const root = await pruneRoot(source, snapshot.root, filter, { put, signal })
  const shape = await countEntries(source, snapshot, root, signal)
  const wanted = await viewBlocks(source, root, { signal, scratch })
  const stored = { blocks: 0, blockBytes: 0 }
  try {
    for await (const ref of listPages(source, snapshot.index, signal)) {
      for (const { cid, lengthBytes } of (await readPage(source, ref, signal)).blocks) {
        if (!wanted.has(cid)) continue
        stored.blocks++
        stored.blockBytes += lengthBytes
      }
    }
  } finally {
    wanted.close()
  }
  const view: Snapshot = { ...snapshot, root, counts: { ...shape, ...stored } }
  const block = encodeSnapshot(view)
  await put([block])
  return { cid: block.cid, view }
}

/** Of the root of a view: every node of the snapshot, and the chunks that the root reaches. */
export async function viewBlocks(
  source: NodeSource,
  root: Entry,
  { signal, scratch }: Pick<ViewOptions, 'signal' | 'scratch'>,
): Promise<ViewBlocks> {
  const chunks = createFingerprintSet({ scratch })
  try {
    for await (const { cid } of closure(source, root, signal, scratch)) if (cid.code === RAW) chunks.add(cid)
  } catch (error) {
    chunks.close()
    throw error
  }
  return { has: (cid) => cid.code !== RAW || chunks.has(cid), close: () => chunks.close() }
}

/** The root without what the filter leaves out. A root that is no directory stays as it is. */
export async function pruneRoot(
  source: NodeSource,
  root: Entry,
  filter: PathFilter,
  { put, signal }: Pick<ViewOptions, 'put' | 'signal'>,
): Promise<Entry> {
  const reach = compileFilter(filter)

  async function prune(cid: Cid, at: TreePath): Promise<Cid> {
    const nodes: Block[] = []
    const builder = createDirectoryBuilder((block) => nodes.push(block))
    for await (const entry of readDirectory(source, cid, { signal })) {
      const path = childPath(at, entry.name)
      const found = reach(path.names)
      if (found === 'all') builder.add(entry)
      else if (found === 'some' && entry.type === 'directory')
        builder.add({ ...entry, directory: await prune(entry.directory, path) })
      if (nodes.length > 0) await put(nodes.splice(0))
    }
    const pruned = builder.finish()
    await put(nodes)
    return pruned
  }

  if (root.type !== 'directory' || reach([]) === 'all') return root
  return { ...root, directory: await prune(root.directory, ROOT_PATH) }
}

async function countEntries(
  source: NodeSource,
  { counts }: Snapshot,
  root: Entry,
  signal: AbortSignal | undefined,
) {
  const most = counts.files + counts.directories + counts.symlinks + (counts.specials ?? 0)
  const found = { files: 0, directories: 0, symlinks: 0, specials: 0, bytes: 0 }
  let steps = 0
  for await (const { entry } of walk(source, root, signal)) {
    // A directory can be named from many places: no walk is longer than the snapshot says that it is.
    if (++steps > most + 1)
      throw new MirrorError('corrupt', `the snapshot of ${counts.files} files has more entries than it says`)
    if (entry.type === 'file') {
      found.files++
      found.bytes += entry.sizeBytes
    } else if (entry.type === 'directory') found.directories++
    else if (isSpecial(entry)) found.specials++
    else found.symlinks++
  }
  const { specials, ...others } = found
  return specials === 0 ? others : { ...others, specials }
}
