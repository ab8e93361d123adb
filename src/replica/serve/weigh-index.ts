/** What the index of a snapshot takes on its way to a site that has an older one: as the server of objects answers it. */
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import { loadPageBases } from '../../dag/page-bases.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { NodeSource } from '../../dag/source.ts'
import { getBlock } from '../../dag/source.ts'
import { createObjectsOver } from './objects-over.ts'

export interface IndexWeight {
  /** The snapshot and the nodes of its index that the older one lacks, as they are. */
  readonly wholeBytes: number
  /** The same over the nodes of the older index that they resemble. */
  readonly travellingBytes: number
}

/** Reads the branches of the older index, and all new nodes of the newer one. @throws MirrorError `not-found` for one that is not here */
export async function weighIndex(
  blocks: NodeSource,
  { from, to }: { readonly from: Cid; readonly to: Cid },
  signal?: AbortSignal,
): Promise<IndexWeight> {
  const snapshotBytes = await getBlock(blocks, to, 'snapshot', signal)
  const target = decodeSnapshot(to, snapshotBytes).index
  const base = decodeSnapshot(from, await getBlock(blocks, from, 'snapshot', signal)).index
  const held = await nodesOf(blocks, base, signal)
  const bases = await loadPageBases(blocks, { target, base }, signal)
  const objects = createObjectsOver()
  const read = (cid: Cid): Promise<Uint8Array | undefined> => blocks.get(cid, signal)
  let wholeBytes = snapshotBytes.length
  let travellingBytes = snapshotBytes.length
  const open = [target]
  for (let cid = open.pop(); cid !== undefined; cid = open.pop()) {
    if (held.has(cidKey(cid))) continue
    const bytes = await getBlock(blocks, cid, 'block index', signal)
    const named = bases?.basesOf(cid) ?? []
    bases?.note(cid, bytes)
    const over = named.length === 0 ? undefined : await objects.encode(cid, named, read)
    wholeBytes += bytes.length
    travellingBytes += (over?.bytes ?? bytes).length
    const node = decodeIndexNode(cid, bytes)
    if (node.kind === 'branch') open.push(...node.children.map((child) => child.cid).reverse())
  }
  return { wholeBytes, travellingBytes }
}

/** Pages are not read. */
async function nodesOf(
  blocks: NodeSource,
  root: Cid,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string>> {
  const keys = new Set([cidKey(root)])
  const open = [root]
  for (let cid = open.pop(); cid !== undefined; cid = open.pop()) {
    const node = decodeIndexNode(cid, await getBlock(blocks, cid, 'block index', signal))
    if (node.kind === 'page') continue
    for (const { cid: child } of node.children) {
      keys.add(cidKey(child))
      if (node.level > 1) open.push(child)
    }
  }
  return keys
}
