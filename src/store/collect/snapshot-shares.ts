/**
 * How much of what a collection would take belongs to which snapshot. A block that several of them list counts for the
 * first of these, so that the shares add up; plain bytes, and about one in a hundred is missed (key-filter.ts).
 */
import type { Cid } from '../../block/cid.ts'
import { cidToKeyBytes } from '../../block/cid.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import { createFingerprintSet } from '../../dag/fingerprint-set.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { BlockReader } from '../block-store.ts'
import type { KeyFilter } from '../index/key-filter.ts'

export interface SnapshotShare {
  readonly blocks: number
  readonly bytes: number
}

/**
 * @param counted what stays; takes what is counted
 * @returns one for each snapshot, in order; of what is not here nothing counts
 */
export async function countShares(
  blocks: BlockReader,
  {
    snapshots,
    counted,
    signal,
  }: {
    readonly snapshots: readonly Cid[]
    readonly counted: Pick<KeyFilter, 'add' | 'mayHave'>
    readonly signal: AbortSignal | undefined
  },
): Promise<SnapshotShare[]> {
  // Their nodes are read once; one that stays may be so by the filter's chance alone, so its blocks are asked for.
  const seen = createFingerprintSet()

  async function countOne(snapshot: Cid): Promise<SnapshotShare> {
    const share = { blocks: 0, bytes: 0 }
    const count = (cid: Cid, bytes: number): void => {
      const key = cidToKeyBytes(cid)
      if (counted.mayHave(key)) return
      counted.add(key)
      share.blocks += 1
      share.bytes += bytes
    }
    const bytes = await blocks.get(snapshot, signal)
    if (bytes === undefined) return share
    count(snapshot, bytes.length)
    const stack = [decodeSnapshot(snapshot, bytes).index]
    for (let cid = stack.pop(); cid !== undefined; cid = stack.pop()) {
      signal?.throwIfAborted()
      const nodeBytes = seen.add(cid) ? await blocks.get(cid, signal) : undefined
      if (nodeBytes === undefined) continue
      count(cid, nodeBytes.length)
      const node = decodeIndexNode(cid, nodeBytes)
      if (node.kind === 'branch') stack.push(...node.children.map((child) => child.cid))
      else {
        // Of a snapshot that is here in part some are missing.
        const has = await blocks.has(node.page.blocks.map((block) => block.cid))
        for (const [i, block] of node.page.blocks.entries()) if (has[i]) count(block.cid, block.lengthBytes)
      }
    }
    return share
  }

  const shares: SnapshotShare[] = []
  for (const snapshot of snapshots) shares.push(await countOne(snapshot))
  return shares
}
