/** For tests of what carries deltas: trees of noise that is edited here and there, and deltas of blocks at equal places. */
import zlib from 'node:zlib'
import type { Cid } from '../../src/block/cid.ts'
import { cidKey } from '../../src/block/cid.ts'
import type { IndexedBlock } from '../../src/dag/block-index.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { NodeSource } from '../../src/dag/source.ts'
import { getBlock } from '../../src/dag/source.ts'
import type { MadeDelta } from '../../src/delta/delta.ts'
import type { Plan } from '../dag/trees.ts'
import { directoryPlan, META } from '../dag/trees.ts'

export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = (Math.imul(seed, 2654435761) + 1) >>> 0
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** `count` files of about `bytes` each; in a later version every file has a few bytes changed. */
export function noisePlan(
  count: number,
  bytes: number,
  version: number,
  more: Record<string, Plan> = {},
): Plan {
  const children: Record<string, Plan> = { ...more }
  for (let i = 0; i < count; i++) {
    const content = noise(bytes + (i % 13), i)
    for (let at = 100; at < content.length; at += 5000) content[at] = version + i * 3
    children[`file-${String(i).padStart(5, '0')}`] = { type: 'file', meta: META, chunks: [content] }
  }
  return directoryPlan(children)
}

export async function blocksOf(source: NodeSource, snapshot: Cid): Promise<IndexedBlock[]> {
  const { index } = decodeSnapshot(snapshot, await getBlock(source, snapshot, 'snapshot', undefined))
  const blocks: IndexedBlock[] = []
  for await (const page of listPages(source, index)) blocks.push(...(await readPage(source, page)).blocks)
  return blocks
}

/** Runs of up to `run` new blocks, over the base's blocks at the same positions. */
export async function* makeSimpleDeltas(
  { source }: { readonly source: NodeSource },
  { target, base, run = 4 }: { readonly target: Cid; readonly base: Cid; readonly run?: number },
): AsyncGenerator<MadeDelta, void, undefined> {
  const [after, before] = [await blocksOf(source, target), await blocksOf(source, base)]
  const old = new Set(before.map(({ cid }) => cidKey(cid)))
  const read = async (blocks: readonly IndexedBlock[]): Promise<Uint8Array[]> =>
    Promise.all(blocks.map(({ cid }) => getBlock(source, cid, 'block', undefined)))
  for (let first = 0; first < after.length; ) {
    let count = 0
    while (count < run && first + count < after.length && !old.has(cidKey(after[first + count]!.cid))) count++
    if (count === 0) {
      first++
      continue
    }
    const from = Math.min(first, Math.max(0, before.length - count))
    const window = Buffer.concat(await read(before.slice(from, from + count)))
    const plain = await read(after.slice(first, first + count))
    const bytes = zlib.zstdCompressSync(Buffer.concat(plain), { dictionary: window })
    const plainBytes = plain.reduce((sum, { length }) => sum + length, 0)
    const zstdBytes = plain.reduce((sum, block) => sum + zlib.zstdCompressSync(block).length, 0)
    if (bytes.length < zstdBytes * 0.9)
      yield {
        targets: [{ first, count }],
        base: [{ first: from, count: Math.min(count, before.length - from) }],
        bytes: new Uint8Array(bytes),
        plainBytes,
        zstdBytes,
      }
    first += count
  }
}
