/** What crosses the wire to bring a site from one snapshot to the next with deltas, part by part. */

import { type Cid, cidKey, cidOf, RAW } from '../../src/block/cid.ts'
import { encodeWindowed, tryZstd, WIRE_LEVEL } from '../../src/block/encoding.ts'
import { createBlockIndexBuilder, decodeIndexNode } from '../../src/dag/block-index.ts'
import { encodePlan } from '../../src/dag/encodings.ts'
import { loadPageBases } from '../../src/dag/page-bases.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { BlockReader } from '../../src/store/block-store.ts'
import { type PlannedDelta, readFrames } from './made-deltas.ts'

export interface DeltaBytes {
  readonly newBlocks: number
  readonly newBytes: number
  /** New blocks, each compressed by itself: what crosses without deltas. */
  readonly zstdBytes: number
  readonly deltas: number
  /** Frames. */
  readonly deltaBytes: number
  /** Of the blocks that they give. */
  readonly coveredBytes: number
  /** Of blocks that are in no delta, compressed. */
  readonly restBytes: number
  /** New pages of the block index, over those that the site has, and the snapshot, compressed. */
  readonly metadataBytes: number
  /** The same for a site that asks for whole pages. */
  readonly wholeMetadataBytes: number
  /** The plan of the deltas, and their own index. */
  readonly planBytes: number
  /** All but `zstdBytes`. */
  readonly totalBytes: number
}

export async function deltaBytes(
  blocks: BlockReader,
  { base, target }: { readonly base: Cid; readonly target: Cid },
  { dir, plan }: { readonly dir: string; readonly plan: readonly PlannedDelta[] },
): Promise<DeltaBytes> {
  const held = new Set<string>()
  for await (const { cid } of listAll(blocks, base)) held.add(cidKey(cid))
  const covered = new Set<number>()
  for (const { targets } of plan)
    for (const { first, count } of targets) for (let i = 0; i < count; i++) covered.add(first + i)

  const sums = { newBlocks: 0, newBytes: 0, zstdBytes: 0, coveredBytes: 0, restBytes: 0 }
  const metadata = { metadataBytes: 0, wholeMetadataBytes: 0 }
  const indexes = { target: await indexOf(blocks, target), base: await indexOf(blocks, base) }
  const pageBases = await loadPageBases(blocks, indexes)
  const overBases = async (cid: Cid, bytes: Uint8Array): Promise<Uint8Array | undefined> => {
    const named = pageBases?.basesOf(cid) ?? []
    pageBases?.note(cid, bytes)
    const window = await Promise.all(named.map(async (each) => (await blocks.get(each))!))
    return named.length === 0 ? undefined : encodeWindowed(bytes, new Uint8Array(Buffer.concat(window)))
  }
  for await (const { cid, position } of listAll(blocks, target)) {
    if (held.has(cidKey(cid))) continue
    const bytes = (await blocks.get(cid))!
    const whole = tryZstd(bytes, WIRE_LEVEL)?.length ?? bytes.length
    if (position === undefined) {
      const over = await overBases(cid, bytes)
      metadata.metadataBytes += over?.length ?? whole
      metadata.wholeMetadataBytes += whole
      continue
    }
    const sent = whole
    sums.newBlocks += 1
    sums.newBytes += bytes.length
    sums.zstdBytes += sent
    if (covered.has(position)) sums.coveredBytes += bytes.length
    else sums.restBytes += sent
  }
  const frames = plan.reduce((sum, { frameBytes }) => sum + frameBytes, 0)
  const planBytes = weighPlan(dir, plan)
  return {
    ...sums,
    ...metadata,
    deltas: plan.length,
    deltaBytes: frames,
    planBytes,
    totalBytes: frames + sums.restBytes + metadata.metadataBytes + planBytes,
  }
}

async function indexOf(blocks: BlockReader, snapshot: Cid): Promise<Cid> {
  return decodeSnapshot(snapshot, (await blocks.get(snapshot))!).index
}

/** As the publisher writes them, in one step. */
function weighPlan(dir: string, plan: readonly PlannedDelta[]): number {
  if (plan.length === 0) return 0
  let bytes = 0
  const index = createBlockIndexBuilder((block) => {
    bytes += block.bytes.length
  })
  for (const frame of readFrames(dir, plan)) index.add(cidOf(RAW, frame), frame.length)
  index.finish()
  for (let at = 0; at < plan.length; at += 1024) {
    const node = encodePlan(plan.slice(at, at + 1024)).bytes
    bytes += tryZstd(node, WIRE_LEVEL)?.length ?? node.length
  }
  return bytes
}

/** Blocks with their positions, and before them the snapshot and the nodes of its index, which have none. */
async function* listAll(
  blocks: BlockReader,
  snapshot: Cid,
): AsyncGenerator<{ readonly cid: Cid; readonly position?: number }> {
  yield { cid: snapshot }
  let position = 0
  const open = [decodeSnapshot(snapshot, (await blocks.get(snapshot))!).index]
  for (let cid = open.pop(); cid !== undefined; cid = open.pop()) {
    yield { cid }
    const node = decodeIndexNode(cid, (await blocks.get(cid))!)
    if (node.kind === 'branch') open.push(...node.children.map((child) => child.cid).reverse())
    else for (const listed of node.page.blocks) yield { cid: listed.cid, position: position++ }
  }
}
