/**
 * Two versions of one directory, side by side in name order, with the nodes of each that the other lacks. A node that both
 * stand before is passed over unread. What has a name that the older version lacks comes with the older entries around it in
 * the order of names, where an earlier version of it is found if there is one.
 */
import { compareBytes } from '../base/bytes.ts'
import type { Cid } from '../block/cid.ts'
import type { DirectoryRef } from '../dag/directory-node.ts'
import { loadDirectoryNode } from '../dag/directory-node.ts'
import type { Entry } from '../dag/entry.ts'
import type { NodeSource } from '../dag/reader.ts'
import { findSimilarName } from './similar-name.ts'

export interface EntryPair {
  readonly after: Entry
  /** Of the same name and type, or else of a similar name. To be called before the next pair is asked for. */
  readonly before: () => Entry | undefined
}

export interface OpenedNodes {
  readonly before: Cid[]
  readonly after: Cid[]
  /** Older files that are blocks of their own, where the newer nodes hold the files of their names: the first of them, and all bytes. */
  readonly taken: Cid[]
  takenBytes: number
}

/** One side of the merge: what is still to come, the next last. */
type Side = (DirectoryRef | Entry)[]

/** Older names before a new one, and after it, that are looked at. */
const NEAR_NAMES = 32
/** Where the first of them lie tells where all do. */
const MAX_TAKEN = 256

/** @param opened filled while the pairs are read, complete at their end */
export async function* mergeDirectories(
  source: NodeSource,
  { before, after }: { readonly before: Cid | undefined; readonly after: Cid },
  opened: OpenedNodes,
  signal?: AbortSignal,
): AsyncGenerator<EntryPair, void, undefined> {
  const left: Side = before === undefined ? [] : [{ cid: before }]
  const right: Side = [{ cid: after }]
  const passed: Entry[] = []
  const expandLeft = (): Promise<void> => expand(source, left, opened.before, signal)
  const expandRight = (): Promise<void> => expand(source, right, opened.after, signal)

  while (right.length > 0) {
    const x = left.at(-1)
    const y = right.at(-1)!
    const isNodeX = x !== undefined && 'cid' in x
    if (isNodeX && 'cid' in y) {
      if (x.cid.equals(y.cid)) {
        left.pop()
        right.pop()
        continue
      }
      const [levelX, levelY] = [levelOf(x), levelOf(y)]
      if (levelX >= levelY) await expandLeft()
      if (levelY >= levelX) await expandRight()
    } else if (isNodeX) {
      await expandLeft()
    } else if ('cid' in y) {
      await expandRight()
    } else {
      const order = x === undefined ? 1 : compareBytes(x.name, y.name)
      if (x !== undefined && order <= 0) {
        left.pop()
        passed.push(x)
        if (passed.length > 2 * NEAR_NAMES) passed.splice(0, NEAR_NAMES)
      }
      if (order < 0) continue
      right.pop()
      const same = order === 0 && x?.type === y.type ? x : undefined
      if (same !== undefined && y.type === 'file' && y.inline !== undefined) noteTaken(opened, same)
      yield {
        after: y,
        before: () => same ?? findSimilarName(y, [...passed.slice(-NEAR_NAMES), ...coming(left)]),
      }
    }
  }
}

function noteTaken(opened: OpenedNodes, entry: Entry): void {
  if (entry.type !== 'file' || entry.content === undefined || entry.inline !== undefined) return
  opened.takenBytes += entry.sizeBytes
  if (opened.taken.length < MAX_TAKEN) opened.taken.push(entry.content)
}

function coming(side: Side): Entry[] {
  const entries: Entry[] = []
  for (let at = side.length - 1; at >= 0 && entries.length < NEAR_NAMES; at--) {
    const next = side[at]!
    if ('cid' in next) break
    entries.push(next)
  }
  return entries
}

/** A directory's root may have any level: it is opened to learn it. */
function levelOf(ref: DirectoryRef): number {
  return ref.claim?.level ?? Number.POSITIVE_INFINITY
}

/** Puts what the next node holds in its place. */
async function expand(
  source: NodeSource,
  side: Side,
  opened: Cid[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const ref = side.pop() as DirectoryRef
  opened.push(ref.cid)
  const node = await loadDirectoryNode(source, ref, signal)
  const items = node.kind === 'leaf' ? node.entries : node.children
  for (let i = items.length - 1; i >= 0; i--) side.push(items[i]!)
}
