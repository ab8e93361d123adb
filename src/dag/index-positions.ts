/**
 * Looks up blocks of a block index by their positions in the whole of it: down from the root by the counts that branches
 * give, a few nodes at a time. What a branch says of a node below it is checked when that is read.
 */
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { IndexedBlock, IndexNode } from './block-index.ts'
import { decodeIndexNode } from './block-index.ts'
import type { BlockRange } from './encodings.ts'
import type { NodeSource } from './source.ts'
import { getBlock } from './source.ts'

export interface IndexPositions {
  /**
   * The blocks at these positions, in the order of the ranges.
   * @throws MirrorError `corrupt` for a position behind the end, or for a node that is not what its parent says
   */
  blocks(ranges: readonly BlockRange[], signal?: AbortSignal): Promise<IndexedBlock[]>
}

/** A page has about a thousand blocks of 200 bytes each. */
const MAX_CACHED_NODES = 16

export function createIndexPositions(source: NodeSource, root: Cid): IndexPositions {
  const cache = new Map<string, IndexNode>()

  async function read(cid: Cid, signal: AbortSignal | undefined): Promise<IndexNode> {
    const key = cidKey(cid)
    const known = cache.get(key)
    if (known !== undefined) {
      cache.delete(key)
      cache.set(key, known)
      return known
    }
    const node = decodeIndexNode(cid, await getBlock(source, cid, 'block index', signal))
    if (cache.size >= MAX_CACHED_NODES) cache.delete(cache.keys().next().value!)
    cache.set(key, node)
    return node
  }

  async function collect(
    cid: Cid,
    level: number | undefined,
    { first, count }: BlockRange,
    out: IndexedBlock[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const node = await read(cid, signal)
    const found = node.kind === 'page' ? 0 : node.level
    if (level !== undefined && found !== level)
      throw new MirrorError('corrupt', `index node ${cid.toString()} is not what its parent says of it`)
    if (node.kind === 'page') {
      const blocks = node.page.blocks.slice(first, first + count)
      if (blocks.length !== count) throw behindEnd(root)
      for (const block of blocks) out.push(block)
      return
    }
    let at = first
    let left = count
    for (const child of node.children) {
      if (left === 0) return
      if (at >= child.blocks) {
        at -= child.blocks
        continue
      }
      const here = Math.min(left, child.blocks - at)
      await collect(child.cid, found - 1, { first: at, count: here }, out, signal)
      left -= here
      at = 0
    }
    if (left > 0) throw behindEnd(root)
  }

  return {
    async blocks(ranges, signal) {
      const out: IndexedBlock[] = []
      for (const range of ranges) await collect(root, undefined, range, out, signal)
      return out
    },
  }
}

function behindEnd(root: Cid): MirrorError {
  return new MirrorError('corrupt', `a position lies behind the end of the block index ${root.toString()}`)
}
