/**
 * New blocks of which no name and no neighbour says where they came from, as of a file that was moved and edited: their
 * anchors are looked for among the blocks that the target has lost. Of those so many are read as the new blocks warrant, so that a
 * large addition to a tree does not make all of it be read; what is added to a tree that loses nothing costs nothing.
 */
import type { NodeSource } from '../dag/reader.ts'
import { getBlocks } from '../dag/source.ts'
import { createAnchorIndex } from './anchor-index.ts'
import type { PlacedBlock } from './index-map.ts'
import type { NewBlocks } from './new-blocks.ts'
import type { PlacedTarget } from './place-blocks.ts'

/** Of lost blocks, 256 MB of them. */
const MAX_ANCHORS = 256 * 1024
/** Lost bytes that are read for the first new byte, and for each one more. */
const FIRST_BYTES = 16 * 1024 * 1024
const BYTES_EACH = 4
/** New blocks that are placed together. */
const BATCH_BYTES = 1024 * 1024
const READS_AT_ONCE = 16

/** Everything that comes in comes out, in order. */
export async function* placeUnknown(
  placed: AsyncIterable<PlacedTarget>,
  {
    source,
    news,
    signal,
  }: { readonly source: NodeSource; readonly news: NewBlocks; readonly signal: AbortSignal },
): AsyncGenerator<PlacedTarget, void, undefined> {
  const index = createAnchorIndex(MAX_ANCHORS)
  const lost = news.removedBlocks()
  let budget = FIRST_BYTES
  let isRead = false
  let batch: PlacedTarget[] = []
  let batchBytes = 0

  const read = (blocks: readonly Pick<PlacedTarget, 'cid'>[]): Promise<Uint8Array[]> =>
    getBlocks(
      source,
      blocks.map(({ cid }) => cid),
      'block of a delta',
      signal,
    )

  async function readLost(): Promise<void> {
    while (!isRead && budget > 0 && index.anchors < MAX_ANCHORS) {
      const blocks: PlacedBlock[] = []
      while (!isRead && budget > 0 && blocks.length < READS_AT_ONCE) {
        const next = await lost.next()
        isRead = next.done === true
        if (next.done) break
        blocks.push(next.value)
        budget -= next.value.lengthBytes
      }
      if (blocks.length === 0) return
      for (const [at, bytes] of (await read(blocks)).entries()) index.add(bytes, blocks[at]!.address)
    }
  }

  async function* flush(): AsyncGenerator<PlacedTarget, void, undefined> {
    if (batch.length === 0) return
    const targets = batch
    budget += BYTES_EACH * batchBytes
    batch = []
    batchBytes = 0
    await readLost()
    if (index.anchors === 0) {
      yield* targets
      return
    }
    const parts: Uint8Array[] = []
    for (let at = 0; at < targets.length; at += READS_AT_ONCE)
      parts.push(...(await read(targets.slice(at, at + READS_AT_ONCE))))
    const places = index.locate(
      Buffer.concat(parts),
      parts.map(({ length }) => length),
    )
    const within = { from: 0, to: news.base.sizeBytes }
    for (const [at, target] of targets.entries()) {
      const likely = places[at]
      yield likely === undefined || likely.to > within.to ? target : { ...target, likely, within }
    }
  }

  for await (const target of placed) {
    if (target.likely !== undefined) {
      yield* flush()
      yield target
      continue
    }
    batch.push(target)
    batchBytes += target.lengthBytes
    if (batchBytes >= BATCH_BYTES) yield* flush()
  }
  yield* flush()
}
