/**
 * A path that is gone from what a tree's plain address shows, looked for in the snapshots before it: a client that read
 * an index before the move asks after it for what that index names, and is not broken by the move.
 *
 * A snapshot counts for a set time after it was replaced: by the next head (its time), by a move of the tag `latest`, or
 * here (a head may arrive late; what this node showed itself is remembered until it ends). Only what is complete here
 * counts, and only files: a folder that is gone is gone.
 *
 * Bounded: MAX_BEFORE snapshots are looked into, and what was found nowhere is remembered for a while.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../src/base/clock.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import type { NodeSource } from '../../src/dag/reader.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { findEntry } from './find-entry.ts'
import type { ChosenVersion, ServedTree, TreeVersion } from './version.ts'

const MAX_BEFORE = 32
const MAX_ABSENT = 8192

export interface MovedPaths {
  /** This version was shown at the tree's plain address. */
  note(tree: string, version: ChosenVersion): void
  /** The newest version before `version` that has the file, and what it is there. */
  find(
    tree: ServedTree,
    version: ChosenVersion,
    names: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<{ readonly version: TreeVersion; readonly entry: FileEntry } | undefined>
}

export function createMovedPaths(
  {
    blocks,
    readSnapshot,
    clock,
  }: {
    readonly blocks: NodeSource
    readonly readSnapshot: (cid: Cid, signal: AbortSignal) => Promise<Snapshot>
    readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>
  },
  { keepMs }: { readonly keepMs: number },
): MovedPaths {
  /** By tree: sequence and when it was last shown, the last shown at the end. */
  const shown = new Map<string, Map<number, number>>()
  const absent = new LRUCache<string, true>({ max: MAX_ABSENT, maxSize: MAX_ABSENT * 256 })

  function* before(tree: ServedTree, version: ChosenVersion): Generator<TreeVersion> {
    const sinceMs = clock.nowMs() - keepMs
    const shownSinceMs = clock.monotonicMs() - keepMs
    const isTagMoved = version.isTagged && (version.timeMs ?? 0) >= sinceMs
    const { versions } = tree
    const shownHere = shown.get(tree.name) ?? new Map<number, number>()
    const oldestShown = Math.min(...shownHere.keys())
    let count = 0
    for (let at = versions.length - 1; at >= 0 && count < MAX_BEFORE; at--) {
      const each = versions[at]!
      if (each.sequence >= version.sequence) continue
      const replacedMs = versions[at + 1]?.timeMs ?? 0
      const isRecent = isTagMoved || replacedMs >= sinceMs
      // Heads only grow older from here on; what was shown here may still be among them.
      if (!isRecent && each.sequence < oldestShown) return
      if (!isRecent && (shownHere.get(each.sequence) ?? Number.NEGATIVE_INFINITY) < shownSinceMs) continue
      if (!tree.isComplete(each.snapshot)) continue
      count++
      yield each
    }
  }

  return {
    note(tree, { sequence }) {
      const known = shown.get(tree) ?? new Map<number, number>()
      shown.set(tree, known)
      known.delete(sequence)
      known.set(sequence, clock.monotonicMs())
      if (known.size > MAX_BEFORE) known.delete(known.keys().next().value!)
    },
    async find(tree, version, names, signal) {
      if (keepMs === 0 || names.length === 0) return undefined
      const path = names.map((name) => Buffer.from(name).toString('latin1')).join('/')
      for (const each of before(tree, version)) {
        const key = `${each.snapshot.toString()}/${path}`
        if (absent.has(key)) continue
        const { root } = await readSnapshot(each.snapshot, signal)
        const entry = await fileAt(blocks, root, names, signal)
        if (entry !== undefined) return { version: each, entry }
        absent.set(key, true, { size: key.length })
      }
      return undefined
    },
  }
}

async function fileAt(
  blocks: NodeSource,
  root: Snapshot['root'],
  names: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<FileEntry | undefined> {
  try {
    const entry = await findEntry(blocks, root, names, signal)
    return entry?.type === 'file' ? entry : undefined
  } catch (error) {
    // A link that leads out of the tree, or round in it: not a file there either.
    if (isMirrorError(error, 'refused')) return undefined
    if (isMirrorError(error, 'not-found') && error.facts.cid === undefined) return undefined
    throw error
  }
}
