/**
 * What changed between two roots. Two directories are read side by side as lists of nodes and entries; where both
 * stand before the same node it is passed over unread, so the cost follows the change and not the size.
 */
import { compareBytes, equalBytes } from '../base/bytes.ts'
import type { Cid } from '../block/cid.ts'
import type { DirectoryRef } from './directory-node.ts'
import { loadDirectoryNode } from './directory-node.ts'
import type { Entry } from './entry.ts'
import { isDevice } from './entry.ts'
import type { NodeSource } from './source.ts'
import type { TreePath } from './tree-path.ts'
import { childPath, ROOT_PATH } from './tree-path.ts'
import type { XattrFields } from './xattrs.ts'

export interface Change {
  readonly path: readonly Uint8Array[]
  readonly before?: Entry
  readonly after?: Entry
  /** `type`: it became another type of entry; what lay below a directory follows as removed or added. */
  readonly change: 'added' | 'removed' | 'changed' | 'type'
  /** Bytes of a file, a symlink's target or a device's numbers differ. Never true for a directory that stayed one: its entries speak. */
  readonly content: boolean
  /** Mode, time, owner, extended attributes, holes or hard-link group differ. */
  readonly metadata: boolean
}

/** One name, as it was and as it is. */
interface Pair {
  readonly before: Entry | undefined
  readonly after: Entry | undefined
}

/** What changed from `before` to `after`, in walk order; equal subtrees are skipped by CID, unread. */
export async function* diff(
  source: NodeSource,
  before: Entry | undefined,
  after: Entry | undefined,
  signal?: AbortSignal,
): AsyncGenerator<Change, void, undefined> {
  const open: { path: TreePath; pairs: AsyncIterator<Pair> }[] = []
  /** Looks into the directories of a pair, if there is anything to see. */
  const descend = (path: TreePath, pair: Pair): void => {
    const a = pair.before?.type === 'directory' ? pair.before.directory : undefined
    const b = pair.after?.type === 'directory' ? pair.after.directory : undefined
    if ((a === undefined && b === undefined) || (a !== undefined && b !== undefined && a.equals(b))) return
    open.push({ path, pairs: mergeDirectories(source, a, b, signal) })
  }

  const rootChange = compare([], { before, after })
  if (rootChange !== undefined) yield rootChange
  descend(ROOT_PATH, { before, after })
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = await top.pairs.next()
    if (next.done) {
      open.pop()
      continue
    }
    const pair = next.value
    const path = childPath(top.path, (pair.before ?? pair.after)!.name)
    const change = compare(path.names, pair)
    if (change !== undefined) yield change
    descend(path, pair)
  }
}

function compare(path: readonly Uint8Array[], { before, after }: Pair): Change | undefined {
  if (before === undefined) {
    return after === undefined ? undefined : { path, after, change: 'added', content: true, metadata: true }
  }
  if (after === undefined) return { path, before, change: 'removed', content: true, metadata: true }
  const metadata = !hasSameMetadata(before, after)
  if (before.type !== after.type) return { path, before, after, change: 'type', content: true, metadata }
  const content = !hasSameContent(before, after)
  return content || metadata ? { path, before, after, change: 'changed', content, metadata } : undefined
}

function hasSameContent(a: Entry, b: Entry): boolean {
  if (a.type === 'file' && b.type === 'file') {
    return a.sizeBytes === b.sizeBytes && hasSameCid(a.content, b.content)
  }
  if (a.type === 'symlink' && b.type === 'symlink') return equalBytes(a.target, b.target)
  if (isDevice(a) && isDevice(b)) return a.major === b.major && a.minor === b.minor
  return true
}

function hasSameCid(a: Cid | undefined, b: Cid | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b)
}

/** All that the two say of themselves but type, name and content. */
export function hasSameMetadata(a: Entry, b: Entry): boolean {
  return (
    a.mode === b.mode &&
    a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.user === b.user &&
    a.group === b.group &&
    hasSameXattrs(a, b) &&
    hasSameHoles(a, b) &&
    hasSameLink(a, b)
  )
}

export function hasSameXattrs(a: XattrFields, b: XattrFields): boolean {
  if (!hasSameCid(a.xattrBlock, b.xattrBlock)) return false
  const [left, right] = [a.xattrs ?? [], b.xattrs ?? []]
  return (
    left.length === right.length &&
    left.every(
      ({ name, value }, at) => equalBytes(name, right[at]!.name) && equalBytes(value, right[at]!.value),
    )
  )
}

function hasSameHoles(a: Entry, b: Entry): boolean {
  const holesA = (a.type === 'file' && a.holes) || []
  const holesB = (b.type === 'file' && b.holes) || []
  return holesA.length === holesB.length && holesA.every((value, at) => value === holesB[at])
}

export function hasSameLink(a: Entry, b: Entry): boolean {
  const linkA = a.type === 'directory' ? undefined : a.link
  const linkB = b.type === 'directory' ? undefined : b.link
  return linkA === undefined || linkB === undefined ? linkA === linkB : equalBytes(linkA, linkB)
}

/** One side of a merge: what is still to come, the next last. */
type Side = (DirectoryRef | Entry)[]

async function* mergeDirectories(
  source: NodeSource,
  a: Cid | undefined,
  b: Cid | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Pair, void, undefined> {
  const left: Side = a === undefined ? [] : [{ cid: a }]
  const right: Side = b === undefined ? [] : [{ cid: b }]
  while (left.length > 0 || right.length > 0) {
    const x = left.at(-1)
    const y = right.at(-1)
    const isNodeX = x !== undefined && 'cid' in x
    const isNodeY = y !== undefined && 'cid' in y
    if (isNodeX && isNodeY) {
      if (x.cid.equals(y.cid)) {
        left.pop()
        right.pop()
        continue
      }
      // The higher node is opened first, so that both sides come to stand before nodes of one level.
      const [levelX, levelY] = [levelOf(x), levelOf(y)]
      if (levelX >= levelY) await expand(source, left, signal)
      if (levelY >= levelX) await expand(source, right, signal)
    } else if (isNodeX) {
      await expand(source, left, signal)
    } else if (isNodeY) {
      await expand(source, right, signal)
    } else {
      const order = x === undefined ? 1 : y === undefined ? -1 : compareBytes(x.name, y.name)
      if (order <= 0) left.pop()
      if (order >= 0) right.pop()
      yield { before: order <= 0 ? x : undefined, after: order >= 0 ? y : undefined }
    }
  }
}

/** A directory's root may have any level: it is opened to learn it. */
function levelOf(ref: DirectoryRef): number {
  return ref.claim?.level ?? Number.POSITIVE_INFINITY
}

/** Puts what the next node holds in its place. */
async function expand(source: NodeSource, side: Side, signal: AbortSignal | undefined): Promise<void> {
  const node = await loadDirectoryNode(source, side.pop() as DirectoryRef, signal)
  const items = node.kind === 'leaf' ? node.entries : node.children
  for (let i = items.length - 1; i >= 0; i--) side.push(items[i]!)
}
