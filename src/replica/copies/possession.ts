/**
 * Shows that a snapshot lies here, and chooses what another site is to show of it: blocks at a few positions of the block index,
 * drawn by chance, whose digest under a key that nobody knew before cannot be made without them.
 *
 *   digest = BLAKE3 under the key `nonce` of the PeerId of who shows it and, for each position as it was asked, the block's bytes;
 *            before each its length (u64, little-endian)
 *
 * The PeerId is in it so that one site cannot have another answer for it, and hand that on as its own.
 * What is read comes out of the site's own store, which checks each block as it reads it, and out of nowhere else. That a site has
 * them is all that this shows: one that fetches them from another within the time it has answers as well (docs/security.md).
 */
import { utf8 } from '../../base/bytes.ts'
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import { covers, filterKey, type PathFilter } from '../../base/path-filter.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import { blake3 } from '../../block/hash.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import { createIndexPositions } from '../../dag/index-positions.ts'
import { listPages, readPage } from '../../dag/read-index.ts'
import type { Scratch } from '../../dag/scratch.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import { pruneRoot, viewBlocks } from '../../dag/snapshot-view.ts'
import { getBlock, type NodeSource } from '../../dag/source.ts'
import type { SnapshotView } from '../holdings/snapshot-views.ts'

export interface Possession {
  /** The PeerId of who shows it. */
  readonly holder: string
  readonly root: Cid
  readonly nonce: Uint8Array
  /** Positions in its block index, rising. */
  readonly at: readonly number[]
}

/** The digest; undefined when a block is not here, or there are not so many positions. */
export async function showPossession(
  source: NodeSource,
  { holder, root, nonce, at }: Possession,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    const { index } = decodeSnapshot(root, await getBlock(source, root, 'snapshot', signal))
    if ((at.at(-1) ?? 0) >= (await countBlocks(source, index, signal))) return undefined
    const ranges = at.map((first) => ({ first, count: 1 }))
    const blocks = await createIndexPositions(source, index).blocks(ranges, signal)
    const parts = [utf8(holder)]
    for (const { cid } of blocks) parts.push(await getBlock(source, cid, 'block', signal))
    return blake3.keyed(
      nonce,
      parts.flatMap((part) => [lengthOf(part), part]),
    )
  } catch (error) {
    if (isMirrorError(error, 'not-found')) return undefined
    throw error
  }
}

function lengthOf(part: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(part.length), true)
  return bytes
}

/**
 * What both sides hold, going by their filters: undefined for all of it; `nothing` where neither holds all that the other does, and
 * what they have in common cannot be told.
 */
export function commonFilter(
  own: PathFilter | undefined,
  theirs: PathFilter | undefined,
): PathFilter | undefined | 'nothing' {
  if (covers(theirs, own)) return own
  return covers(own, theirs) ? theirs : 'nothing'
}

export interface DrawOptions {
  readonly count: number
  /** Uniform in [0, 1), and nobody else's to foresee. */
  readonly random: () => number
  /** Only from what a site with this filter holds. */
  readonly filter?: PathFilter | undefined
  /** Of the snapshot here, where it is complete under a filter. */
  readonly view?: SnapshotView | undefined
  readonly scratch?: Scratch | undefined
  readonly signal?: AbortSignal | undefined
}

/** Rebuilt directories that lead to what a filter takes: of more the positions cannot be drawn. */
const MAX_REBUILT_BYTES = 32 * 1024 * 1024

/**
 * Rising positions in the snapshot's block index, each as likely as any other. Under a filter it costs a walk over the snapshot's
 * directories and its index; without one, the index's root.
 * @throws MirrorError `not-found` when the snapshot's nodes are not here, `limit`
 */
export async function drawPositions(
  source: NodeSource,
  snapshot: Cid,
  { count, random, filter, view, scratch, signal }: DrawOptions,
): Promise<number[]> {
  const { index, root } = decodeSnapshot(snapshot, await getBlock(source, snapshot, 'snapshot', signal))
  if (filter === undefined) return drawBelow(await countBlocks(source, index, signal), count, random)

  const rebuilt = new Map<string, Uint8Array>()
  let rebuiltBytes = 0
  const over: NodeSource = {
    get: async (cid, ends) => rebuilt.get(cidKey(cid)) ?? (await source.get(cid, ends)),
  }
  const isOwn = view !== undefined && filterKey(view.filter) === filterKey(filter)
  const pruned = isOwn
    ? decodeSnapshot(view.cid, await getBlock(source, view.cid, 'view', signal)).root
    : await pruneRoot(over, root, filter, {
        async put(nodes) {
          for (const { cid, bytes } of nodes) {
            rebuilt.set(cidKey(cid), bytes)
            rebuiltBytes += bytes.length
          }
          if (rebuiltBytes > MAX_REBUILT_BYTES)
            throw new MirrorError(
              'limit',
              'the directories on the way to what the filter takes are too large',
            )
        },
        signal,
      })
  const wanted = await viewBlocks(over, pruned, { signal, scratch })
  try {
    // Each of those that are wanted takes the place of one chosen before with the right chance: one pass, and no list of them.
    const chosen: number[] = []
    let seen = 0
    let at = 0
    for await (const ref of listPages(source, index, signal)) {
      for (const { cid } of (await readPage(source, ref, signal)).blocks) {
        if (wanted.has(cid)) {
          seen++
          if (chosen.length < count) chosen.push(at)
          else {
            const place = Math.floor(random() * seen)
            if (place < count) chosen[place] = at
          }
        }
        at++
      }
    }
    return chosen.toSorted((a, b) => a - b)
  } finally {
    wanted.close()
  }
}

async function countBlocks(source: NodeSource, index: Cid, signal: AbortSignal | undefined): Promise<number> {
  const node = decodeIndexNode(index, await getBlock(source, index, 'block index', signal))
  if (node.kind === 'page') return node.page.blocks.length
  return node.children.reduce((sum, { blocks }) => sum + blocks, 0)
}

/** So many of the numbers below `end`, or all of them; without a list of the rest (Floyd's). */
function drawBelow(end: number, count: number, random: () => number): number[] {
  const chosen = new Set<number>()
  for (let last = Math.max(0, end - count); last < end; last++) {
    const at = Math.floor(random() * (last + 1))
    chosen.add(chosen.has(at) ? last : at)
  }
  return [...chosen].sort((a, b) => a - b)
}
