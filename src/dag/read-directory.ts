import { compareBytes } from '../base/bytes.ts'
import type { Cid } from '../block/cid.ts'
import type { DirectoryRef, LoadDirectoryNode, LoadedBranch, LoadedLeaf } from './directory-node.ts'
import { loadDirectoryNode } from './directory-node.ts'
import type { Entry } from './entry.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { NodeSource } from './source.ts'

interface ReadOptions {
  readonly after?: Uint8Array | undefined
  readonly signal?: AbortSignal | undefined
}

/** The entries of one directory in name order, from the first name greater than `after`. */
export async function* readDirectory(
  source: LeafSource,
  cid: Cid,
  options: ReadOptions = {},
): AsyncGenerator<Entry, void, undefined> {
  // Not handed over by `yield*`, which would wait for each once more.
  for await (const entries of readLeaves(source, cid, options)) for (const entry of entries) yield entry
}

type LeafSource = NodeSource & Partial<Pick<ReadAhead, 'entries'>>

/** The same, leaf by leaf: between the entries of one there is nothing to wait for, and waiting costs more than an entry. */
export async function* readLeaves(
  source: LeafSource,
  cid: Cid,
  { after, signal }: ReadOptions = {},
): AsyncGenerator<Iterable<Entry>, void, undefined> {
  const isWanted = (name: Uint8Array): boolean => after === undefined || compareBytes(name, after) > 0
  const stack: DirectoryRef[] = [{ cid }]
  for (let ref = stack.pop(); ref !== undefined; ref = stack.pop()) {
    const node = await loadDirectoryNode(source, ref, signal)
    if (node.kind === 'leaf') {
      const entries = source.entries?.(node.entries, signal) ?? node.entries
      yield after === undefined ? entries : wantedOf(entries, isWanted)
    } else {
      for (const child of [...node.children].reverse()) if (isWanted(child.claim!.lastName)) stack.push(child)
    }
  }
}

function* wantedOf(entries: Iterable<Entry>, isWanted: (name: Uint8Array) => boolean): Generator<Entry> {
  for (const entry of entries) if (isWanted(entry.name)) yield entry
}

/** How many entries the directory holds; reads its root alone. */
export async function countEntries(source: NodeSource, cid: Cid, signal?: AbortSignal): Promise<number> {
  const node = await loadDirectoryNode(source, { cid }, signal)
  return node.kind === 'leaf'
    ? node.entries.length
    : node.children.reduce((sum, { claim }) => sum + claim!.entries, 0)
}

/** The entry at `path` below `root`, symbolic links not followed; reads one node for each level of each directory. */
export async function lookUp(
  source: NodeSource,
  root: Entry,
  path: readonly Uint8Array[],
  signal?: AbortSignal,
  /** For those who look up in the same directories again and again, and keep decoded nodes. */
  load: LoadDirectoryNode = loadDirectoryNode,
): Promise<Entry | undefined> {
  let entry: Entry | undefined = root
  for (const name of path) {
    if (entry?.type !== 'directory') return undefined
    entry = await findEntry(source, entry.directory, name, signal, load)
  }
  return entry
}

async function findEntry(
  source: NodeSource,
  cid: Cid,
  name: Uint8Array,
  signal: AbortSignal | undefined,
  load: LoadDirectoryNode,
): Promise<Entry | undefined> {
  let ref: DirectoryRef | undefined = { cid }
  while (ref !== undefined) {
    const node: LoadedLeaf | LoadedBranch = await load(source, ref, signal)
    if (node.kind === 'leaf') {
      const at = firstAtLeast(node.entries, name, (entry) => entry.name)
      const entry = node.entries[at]
      return entry !== undefined && compareBytes(entry.name, name) === 0 ? entry : undefined
    }
    ref = node.children[firstAtLeast(node.children, name, (child) => child.claim!.lastName)]
  }
  return undefined
}

/** Index of the first item whose key is `key` or greater; the items are in ascending order. */
function firstAtLeast<T>(items: readonly T[], key: Uint8Array, keyOf: (item: T) => Uint8Array): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(keyOf(items[middle]!), key) < 0) low = middle + 1
    else high = middle
  }
  return low
}
