/** What crosses the wire to bring a site from one snapshot to the next with deltas, part by part. */

import type { Block } from '../../src/block/block.ts'
import { type Cid, cidKey, cidOf, RAW } from '../../src/block/cid.ts'
import { tryZstd, WIRE_LEVEL } from '../../src/block/encoding.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { encodeEncodings, encodePlan } from '../../src/dag/encodings.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { PAGE_DELTAS } from '../../src/replica/deltas/set-writer.ts'
import { weighIndex } from '../../src/replica/serve/weigh-index.ts'
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
  /** The snapshot, and new nodes of the block index over those that the site has. */
  readonly metadataBytes: number
  /** The same for a site that asks for whole pages. */
  readonly wholeMetadataBytes: number
  /** The set of the deltas, its plan and its index. */
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
  for await (const cid of listAll(blocks, base)) held.add(cidKey(cid))
  const covered = new Set<number>()
  for (const { targets } of plan)
    for (const { first, count } of targets) for (let i = 0; i < count; i++) covered.add(first + i)

  const sums = { newBlocks: 0, newBytes: 0, zstdBytes: 0, coveredBytes: 0, restBytes: 0 }
  let position = -1
  for await (const cid of listAll(blocks, target)) {
    position += 1
    if (held.has(cidKey(cid))) continue
    const bytes = (await blocks.get(cid))!
    const sent = tryZstd(bytes, WIRE_LEVEL)?.length ?? bytes.length
    sums.newBlocks += 1
    sums.newBytes += bytes.length
    sums.zstdBytes += sent
    if (covered.has(position)) sums.coveredBytes += bytes.length
    else sums.restBytes += sent
  }
  const frames = plan.reduce((sum, { frameBytes }) => sum + frameBytes, 0)
  const index = await weighIndex(blocks, { from: base, to: target })
  const planBytes = weighPlan({ base, target }, { dir, plan })
  return {
    ...sums,
    metadataBytes: index.travellingBytes,
    wholeMetadataBytes: index.wholeBytes,
    deltas: plan.length,
    deltaBytes: frames,
    planBytes,
    totalBytes: frames + sums.restBytes + index.travellingBytes + planBytes,
  }
}

/** As the publisher writes them in one step. Objects without a base travel as they are. */
function weighPlan(
  { base, target }: { readonly base: Cid; readonly target: Cid },
  { dir, plan }: { readonly dir: string; readonly plan: readonly PlannedDelta[] },
): number {
  if (plan.length === 0) return 0
  let bytes = 0
  const count = (block: Block): Cid => {
    bytes += block.bytes.length
    return block.cid
  }
  const builder = createBlockIndexBuilder(count)
  for (const frame of readFrames(dir, plan)) builder.add(cidOf(RAW, frame), frame.length)
  const { root: index } = builder.finish()
  const nodes: Cid[] = []
  for (let at = 0; at < plan.length; at += PAGE_DELTAS)
    nodes.push(count(encodePlan(plan.slice(at, at + PAGE_DELTAS))))
  count(encodeEncodings({ tree: 'builds/nightly', snapshot: target, base, index, plan: nodes, decided: 0 }))
  return bytes
}

/** Blocks in the order of the index. */
async function* listAll(blocks: BlockReader, snapshot: Cid): AsyncGenerator<Cid> {
  const { index } = decodeSnapshot(snapshot, (await blocks.get(snapshot))!)
  for await (const ref of listPages(blocks, index))
    for (const { cid } of (await readPage(blocks, ref)).blocks) yield cid
}
