import type { Cid } from '../block/cid.ts'
import type { Entry } from './entry.ts'
import type { ReadAhead } from './read-ahead.ts'
import { createReadAhead } from './read-ahead.ts'
import { readLeaves } from './read-directory.ts'
import type { NodeSource } from './source.ts'
import type { TreePath } from './tree-path.ts'
import { childPath, ROOT_PATH } from './tree-path.ts'

export interface WalkStep {
  /** Names from below the root; empty for the root itself, which comes first. */
  readonly path: readonly Uint8Array[]
  readonly entry: Entry
}

/**
 * Every entry, a directory before what it holds, names in byte order. Holds one leaf for each open directory.
 * A snapshot may name one directory in many places, so the steps can outnumber its blocks without bound: whoever
 * writes what it reads compares the steps with the snapshot's counts.
 *
 * @param source one that reads ahead is asked for more than directories by whoever made it; else the walk does, for them
 */
export async function* walk(
  source: NodeSource | ReadAhead,
  root: Entry,
  signal?: AbortSignal,
): AsyncGenerator<WalkStep, void, undefined> {
  yield { path: [], entry: root }
  if (root.type !== 'directory') return
  const ahead = 'entries' in source ? source : createReadAhead(source, directoryOf)
  interface OpenDirectory {
    readonly path: TreePath
    readonly leaves: AsyncIterator<Iterable<Entry>>
    /** Of the leaf at hand. */
    entries: Iterator<Entry>
  }
  const open: OpenDirectory[] = []

  function enter(path: TreePath, directory: Cid): void {
    open.push({ path, leaves: readLeaves(ahead, directory, { signal }), entries: NO_ENTRIES })
  }

  enter(ROOT_PATH, root.directory)
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.entries.next()
    if (next.done) {
      const leaf = await top.leaves.next()
      if (leaf.done) open.pop()
      else top.entries = leaf.value[Symbol.iterator]()
      continue
    }
    const entry = next.value
    const path = childPath(top.path, entry.name)
    yield { path: path.names, entry }
    if (entry.type === 'directory') enter(path, entry.directory)
  }
}

const NO_ENTRIES: Iterator<Entry> = { next: () => ({ done: true, value: undefined }) }

function directoryOf(entry: Entry): Cid | undefined {
  return entry.type === 'directory' ? entry.directory : undefined
}
