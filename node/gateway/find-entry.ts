/**
 * Walks a path through a snapshot as the kernel would, following symbolic links, without ever leaving the tree: an
 * absolute target, or a `..` above the root, is refused. Only the DAG is read, so no link can reach this machine's
 * own files; the refusal is there because what the publisher saw behind such a link is not in the snapshot.
 *
 * Bounded: 40 links (as Linux), 4,096 steps in all, so that a hostile tree costs no more than a deep one.
 */
import { MirrorError } from '../../src/base/errors.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { type LoadDirectoryNode, lookUp, type NodeSource } from '../../src/dag/reader.ts'

const MAX_LINKS = 40
const MAX_STEPS = 4096
const MAX_NAME_BYTES = 255

/**
 * The file or directory at `names`, or undefined when there is none (a dangling link included).
 * @throws MirrorError `refused` when a link leaves the tree, `not-found` for a loop of links
 */
export async function findEntry(
  source: NodeSource,
  root: Entry,
  names: readonly Uint8Array[],
  signal: AbortSignal,
  load?: LoadDirectoryNode,
): Promise<Exclude<Entry, { type: 'symlink' }> | undefined> {
  if (root.type === 'symlink') throw leavesTree()
  const trail: Entry[] = [root]
  // Names still to walk, the next one last.
  const pending = names.toReversed()
  let links = 0
  for (let steps = 0; pending.length > 0; steps++) {
    if (steps === MAX_STEPS) throw new MirrorError('limit', `the path takes over ${MAX_STEPS} steps`)
    const name = pending.pop()!
    const here = trail.at(-1)!
    if (here.type !== 'directory') return undefined
    if (isDots(name, 1)) continue
    if (isDots(name, 2)) {
      if (trail.length === 1) throw leavesTree()
      trail.pop()
      continue
    }
    if (name.length > MAX_NAME_BYTES) return undefined
    const entry = await lookUp(source, here, [name], signal, load)
    if (entry === undefined) return undefined
    if (entry.type !== 'symlink') {
      trail.push(entry)
      continue
    }
    if (++links > MAX_LINKS) throw new MirrorError('not-found', 'the path runs into a loop of symbolic links')
    if (entry.target[0] === 0x2f) throw leavesTree()
    pending.push(...splitTarget(entry.target).reverse())
  }
  const found = trail.at(-1)!
  return found.type === 'symlink' ? undefined : found
}

function splitTarget(target: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = []
  let start = 0
  for (let at = 0; at <= target.length; at++) {
    if (at < target.length && target[at] !== 0x2f) continue
    if (at > start) names.push(target.subarray(start, at))
    start = at + 1
  }
  return names
}

function isDots(name: Uint8Array, count: 1 | 2): boolean {
  return name.length === count && name[0] === 0x2e && (count === 1 || name[1] === 0x2e)
}

function leavesTree(): MirrorError {
  return new MirrorError('refused', 'the path follows a symbolic link that leaves the tree', {
    hint: 'Only what is inside the tree is served; check the tree out to keep the link as it is.',
  })
}
