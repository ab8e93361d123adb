/**
 * What a root needs: the truth that the block index is compared with before a snapshot is called complete.
 */
import type { Cid } from '../block/cid.ts'
import { RAW } from '../block/cid.ts'
import type { DirectoryRef } from './directory-node.ts'
import { loadDirectoryNode } from './directory-node.ts'
import type { Entry } from './entry.ts'
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

/** Blocks of many small files that are given together: a hand-over for each of them would cost more than the walk. */
const RUN_BLOCKS = 256

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
  for await (const run of closureRuns(source, root, signal, scratch)) for (const block of run) yield block
}

/** The same in runs of any length, one after the other: for whoever looks at many. */
export async function* closureRuns(
  source: NodeSource,
  root: Entry,
  signal?: AbortSignal,
  scratch?: Scratch,
): AsyncGenerator<readonly ClosureBlock[], void, undefined> {
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
): AsyncGenerator<readonly ClosureBlock[], void, undefined> {
  const open: OpenDirectory[] = []
  let run: ClosureBlock[] = []
  for (let entry: Entry | undefined = root; entry !== undefined; entry = await nextEntry(open, run)) {
    if (entry.xattrBlock !== undefined && seen.add(entry.xattrBlock))
      run.push({ cid: entry.xattrBlock, lengthBytes: (await loadXattrs(source, entry, signal)).lengthBytes })
    if (entry.type === 'directory' && seen.add(entry.directory)) {
      const path = entry === root ? ROOT_PATH : childPath(open.at(-1)!.path, entry.name)
      open.push(openDirectory(source, entry.directory, path, signal))
    }
    if (entry.type === 'file' && entry.content !== undefined && entry.inline === undefined) {
      if (entry.content.code === RAW) run.push({ cid: entry.content, lengthBytes: entry.sizeBytes })
      else {
        yield run
        run = []
        yield* fileClosure(source, { cid: entry.content, sizeBytes: entry.sizeBytes }, seen, signal)
      }
    }
    if (run.length >= RUN_BLOCKS) {
      yield run
      run = []
    }
  }
  yield run
}

interface OpenDirectory {
  readonly path: TreePath
  readonly leaves: AsyncIterator<Iterable<Entry>>
  /** Of the leaf that is walked. */
  entries: Iterator<Entry> | undefined
  /** Filled while `leaves` are read; complete at their end. */
  readonly nodes: ClosureBlock[]
}

function openDirectory(
  source: ReadAhead,
  cid: Cid,
  path: TreePath,
  signal: AbortSignal | undefined,
): OpenDirectory {
  const nodes: ClosureBlock[] = []
  return { path, nodes, leaves: leavesAndNodes(source, cid, nodes, signal), entries: undefined }
}

/** Of the innermost directory; those that end are closed, and their nodes come next in `run`. Undefined at the end of all. */
async function nextEntry(open: OpenDirectory[], run: ClosureBlock[]): Promise<Entry | undefined> {
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.entries?.next()
    if (next?.done === false) return next.value
    const leaf = await top.leaves.next()
    if (leaf.done !== true) {
      top.entries = leaf.value[Symbol.iterator]()
      continue
    }
    for (const node of top.nodes) run.push(node)
    open.pop()
  }
  return undefined
}

/** Yields the entries of each leaf; appends each node to `nodes` after its children. */
async function* leavesAndNodes(
  source: ReadAhead,
  cid: Cid,
  nodes: ClosureBlock[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Iterable<Entry>, void, undefined> {
  const stack: (DirectoryRef | ClosureBlock)[] = [{ cid }]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if ('lengthBytes' in next) {
      nodes.push(next)
      continue
    }
    const node = await loadDirectoryNode(source, next, signal)
    stack.push({ cid: next.cid, lengthBytes: node.lengthBytes })
    if (node.kind === 'leaf') yield source.entries(node.entries, signal)
    else stack.push(...[...node.children].reverse())
  }
}

async function* fileClosure(
  source: NodeSource,
  root: { readonly cid: Cid; readonly sizeBytes: number },
  seen: FingerprintSet,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly ClosureBlock[], void, undefined> {
  const stack: ({ cid: Cid; sizeBytes: number; level?: number } | ClosureBlock)[] = [root]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if ('lengthBytes' in next) {
      yield [next]
      continue
    }
    if (!seen.add(next.cid)) continue
    const { node, lengthBytes } = await loadFileNode(source, next, signal)
    stack.push({ cid: next.cid, lengthBytes })
    if (node.level === 0) {
      yield node.parts
    } else {
      for (const part of [...node.parts].reverse()) {
        stack.push({ cid: part.cid, sizeBytes: part.lengthBytes, level: node.level - 1 })
      }
    }
  }
}
