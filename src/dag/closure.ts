/**
 * What a root needs: the truth that the block index is compared with before a snapshot is called complete.
 */
import type { Cid } from '../block/cid.ts'
import { RAW } from '../block/cid.ts'
import type { DirectoryRef } from './directory-node.ts'
import { loadDirectoryNode } from './directory-node.ts'
import type { Entry, FileEntry } from './entry.ts'
import type { FingerprintSet } from './fingerprint-set.ts'
import { createFingerprintSet } from './fingerprint-set.ts'
import type { ReadAhead } from './read-ahead.ts'
import { createReadAhead } from './read-ahead.ts'
import { loadFileNode } from './read-file.ts'
import type { Scratch } from './scratch.ts'
import type { NodeSource } from './source.ts'
import type { TreePath } from './tree-path.ts'
import { childPath, ROOT_PATH } from './tree-path.ts'
import { loadXattrs } from './xattrs.ts'

export interface ClosureBlock {
  readonly cid: Cid
  readonly lengthBytes: number
}

/**
 * Every block reachable from `root`, in the order of the block index: for a directory, what its entries reach, in
 * name order, then its own nodes in the order `buildDirectory` emits them; for a file, each node right after what it
 * lists, which is the order a streaming import meets them in. The block of an entry's extended attributes comes right
 * before what its content reaches. Chunks repeat as they occur; a directory, a file of several chunks or a set of attributes
 * that was met before is passed over, so the work is linear in the blocks even where one directory is named a million times.
 *
 * @param scratch bounds what is kept of those: 32 MB where it is 25 to 50 bytes each without
 */
export async function* closure(
  source: NodeSource,
  root: Entry,
  signal?: AbortSignal,
  scratch?: Scratch,
): AsyncGenerator<ClosureBlock, void, undefined> {
  const seen = createFingerprintSet({ scratch })
  try {
    yield* reach(createReadAhead(source, nodeOf), root, seen, signal)
  } finally {
    seen.close()
  }
}

function nodeOf(entry: Entry): Cid | undefined {
  if (entry.type === 'directory') return entry.directory
  return entry.type === 'file' && entry.content?.code !== RAW ? entry.content : undefined
}

async function* reach(
  source: ReadAhead,
  root: Entry,
  seen: FingerprintSet,
  signal: AbortSignal | undefined,
): AsyncGenerator<ClosureBlock, void, undefined> {
  const open: OpenDirectory[] = []
  yield* xattrClosure(source, root, seen, signal)
  if (root.type === 'file') yield* fileClosure(source, root, seen, signal)
  if (root.type === 'directory') {
    seen.add(root.directory)
    open.push(openDirectory(source, root.directory, ROOT_PATH, signal))
  }
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = await top.entries.next()
    if (next.done) {
      yield* top.nodes
      open.pop()
      continue
    }
    const entry = next.value
    if (entry.xattrBlock !== undefined) yield* xattrClosure(source, entry, seen, signal)
    if (entry.type === 'file') yield* fileClosure(source, entry, seen, signal)
    if (entry.type === 'directory') {
      const path = childPath(top.path, entry.name)
      if (seen.add(entry.directory)) open.push(openDirectory(source, entry.directory, path, signal))
    }
  }
}

interface OpenDirectory {
  readonly path: TreePath
  readonly entries: AsyncIterator<Entry>
  /** Filled while `entries` are read; complete at their end. */
  readonly nodes: ClosureBlock[]
}

function openDirectory(
  source: ReadAhead,
  cid: Cid,
  path: TreePath,
  signal: AbortSignal | undefined,
): OpenDirectory {
  const nodes: ClosureBlock[] = []
  return { path, nodes, entries: entriesAndNodes(source, cid, nodes, signal) }
}

/** Yields the entries; appends each node to `nodes` after its children. */
async function* entriesAndNodes(
  source: ReadAhead,
  cid: Cid,
  nodes: ClosureBlock[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Entry, void, undefined> {
  const stack: (DirectoryRef | ClosureBlock)[] = [{ cid }]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if ('lengthBytes' in next) {
      nodes.push(next)
      continue
    }
    const node = await loadDirectoryNode(source, next, signal)
    stack.push({ cid: next.cid, lengthBytes: node.lengthBytes })
    if (node.kind === 'leaf') yield* source.entries(node.entries, signal)
    else stack.push(...[...node.children].reverse())
  }
}

async function* xattrClosure(
  source: NodeSource,
  entry: Entry,
  seen: FingerprintSet,
  signal: AbortSignal | undefined,
): AsyncGenerator<ClosureBlock, void, undefined> {
  if (entry.xattrBlock === undefined || !seen.add(entry.xattrBlock)) return
  const { lengthBytes } = await loadXattrs(source, entry, signal)
  yield { cid: entry.xattrBlock, lengthBytes }
}

async function* fileClosure(
  source: NodeSource,
  { content, inline, sizeBytes }: FileEntry,
  seen: FingerprintSet,
  signal: AbortSignal | undefined,
): AsyncGenerator<ClosureBlock, void, undefined> {
  if (content === undefined || inline !== undefined) return
  if (content.code === RAW) {
    yield { cid: content, lengthBytes: sizeBytes }
    return
  }
  const stack: ({ cid: Cid; sizeBytes: number; level?: number } | ClosureBlock)[] = [
    { cid: content, sizeBytes },
  ]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if ('lengthBytes' in next) {
      yield next
      continue
    }
    if (!seen.add(next.cid)) continue
    const { node, lengthBytes } = await loadFileNode(source, next, signal)
    stack.push({ cid: next.cid, lengthBytes })
    if (node.level === 0) {
      yield* node.parts
    } else {
      for (const part of [...node.parts].reverse()) {
        stack.push({ cid: part.cid, sizeBytes: part.lengthBytes, level: node.level - 1 })
      }
    }
  }
}
