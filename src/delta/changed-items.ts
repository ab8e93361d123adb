/**
 * What a snapshot has that is new, in the order of its index: files with new blocks, and the new nodes of directories, each
 * with what it likely came from. Whatever the base holds whole is passed over unread, as is what came before, so that a
 * directory that is named a million times is read once.
 */
import type { Cid } from '../block/cid.ts'
import type { Entry, FileEntry } from '../dag/entry.ts'
import type { NodeSource } from '../dag/reader.ts'
import type { TreePath } from '../dag/tree-path.ts'
import { childPath, ROOT_PATH } from '../dag/tree-path.ts'
import type { EntryPair, OpenedNodes } from './merge-directories.ts'
import { mergeDirectories } from './merge-directories.ts'

export type ChangedItem =
  | { readonly kind: 'file'; readonly after: FileEntry; readonly before: FileEntry | undefined }
  /** Of one directory. */
  | ({ readonly kind: 'nodes' } & Readonly<OpenedNodes>)

/** @param isWanted whether a block is new, and was not met before */
export async function* changedItems(
  source: NodeSource,
  roots: { readonly before: Entry; readonly after: Entry },
  isWanted: (cid: Cid) => boolean,
  signal?: AbortSignal,
): AsyncGenerator<ChangedItem, void, undefined> {
  interface Open {
    readonly path: TreePath
    readonly pairs: AsyncIterator<EntryPair>
    readonly nodes: OpenedNodes
  }
  const open: Open[] = []

  function* enter(path: TreePath, pair: EntryPair): Generator<ChangedItem, void, undefined> {
    const { after } = pair
    if (after.type === 'file') {
      if (after.content === undefined || after.inline !== undefined || !isWanted(after.content)) return
      const before = pair.before()
      yield { kind: 'file', after, before: before?.type === 'file' ? before : undefined }
    } else if (after.type === 'directory' && isWanted(after.directory)) {
      const before = pair.before()
      const nodes: OpenedNodes = { before: [], after: [], taken: [], takenBytes: 0 }
      const cids = {
        after: after.directory,
        before: before?.type === 'directory' ? before.directory : undefined,
      }
      open.push({ path, nodes, pairs: mergeDirectories(source, cids, nodes, signal) })
    }
  }

  yield* enter(ROOT_PATH, { after: roots.after, before: () => roots.before })
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = await top.pairs.next()
    if (next.done) {
      yield { kind: 'nodes', ...top.nodes }
      open.pop()
      continue
    }
    // A path without end is refused here as everywhere.
    yield* enter(childPath(top.path, next.value.after.name), next.value)
  }
}
