/**
 * All new blocks of a snapshot in the order of its index, each with where in the base its like is expected: first by name (the
 * same path, or an earlier version of it), then by the landmarks around it.
 */
import type { Cid } from '../block/cid.ts'
import type { FileEntry } from '../dag/entry.ts'
import type { NodeSource } from '../dag/reader.ts'
import { fileParts } from '../dag/reader.ts'
import type { ChangedItem } from './changed-items.ts'
import { changedItems } from './changed-items.ts'
import type { FileBlock } from './file-blocks.ts'
import { fileBlocks } from './file-blocks.ts'
import type { OpenedNodes } from './merge-directories.ts'
import type { NewBlocks } from './new-blocks.ts'
import type { BaseSpan, PlacedTarget } from './place-blocks.ts'
import { placeBlocks } from './place-blocks.ts'

/** Of something else between a directory's small files and its nodes. */
const NEAR_BYTES = 512 * 1024

export async function* findBases(
  source: NodeSource,
  roots: Parameters<typeof changedItems>[1],
  news: NewBlocks,
  signal: AbortSignal | undefined,
): AsyncGenerator<PlacedTarget, void, undefined> {
  let lastPosition = -1
  const wantedPosition = (cid: Cid): number | undefined => {
    const position = news.newPosition(cid)
    return position !== undefined && position > lastPosition ? position : undefined
  }
  const isWanted = (cid: Cid): boolean => wantedPosition(cid) !== undefined
  for await (const item of changedItems(source, roots, isWanted, signal)) {
    const stretch = await stretchOf(source, item, news, isWanted, signal)
    for await (const target of placeBlocks(stretch.blocks, { ...stretch, news, wantedPosition })) {
      // The walk and the index have one order; a block that an earlier one named again comes once.
      if (target.position <= lastPosition) continue
      lastPosition = target.position
      yield target
    }
  }
}

interface Stretch {
  readonly blocks: AsyncIterable<FileBlock> | Iterable<FileBlock>
  readonly within: BaseSpan | undefined
  readonly sizeBytes: number
}

async function stretchOf(
  source: NodeSource,
  item: ChangedItem,
  news: NewBlocks,
  isWanted: (cid: Cid) => boolean,
  signal: AbortSignal | undefined,
): Promise<Stretch> {
  if (item.kind === 'file') {
    const { before, after } = item
    return {
      blocks: fileBlocks(source, after, isWanted, signal),
      within: before === undefined ? undefined : await spanOfFile(source, before, news, signal),
      sizeBytes: after.sizeBytes,
    }
  }
  const positions = item.after.flatMap((cid) => news.newPosition(cid) ?? [])
  const blocks = await Promise.all(positions.sort((a, b) => a - b).map((at) => news.target.blockAt(at)))
  const olds = item.before.flatMap((cid) => news.landmark(cid) ?? [])
  return {
    blocks,
    within: await withTakenFiles(await spanOfNodes(olds, news), item, news),
    sizeBytes: blocks.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
  }
}

/** Where the old file lies: its root node or only chunk is the last of its blocks. */
async function spanOfFile(
  source: NodeSource,
  file: FileEntry,
  news: NewBlocks,
  signal: AbortSignal | undefined,
): Promise<BaseSpan | undefined> {
  if (file.content === undefined) return undefined
  const last = await news.basePosition(file.content)
  if (last === undefined) return undefined
  const { address, lengthBytes } = await news.base.blockAt(last)
  const to = address + lengthBytes
  if (lengthBytes === file.sizeBytes) return { from: address, to }
  // Its first chunk may stand with an earlier file that has the same one.
  for await (const first of fileParts(source, file, { startByte: 0, endByte: 1 }, signal)) {
    const position = await news.basePosition(first.cid)
    const from = position === undefined ? undefined : (await news.base.blockAt(position)).address
    if (from !== undefined && from < to && to - from <= 2 * file.sizeBytes) return { from, to }
  }
  return { from: Math.max(0, to - file.sizeBytes), to }
}

async function spanOfNodes(positions: readonly number[], news: NewBlocks): Promise<BaseSpan | undefined> {
  if (positions.length === 0) return undefined
  const blocks = await Promise.all(positions.map((at) => news.base.blockAt(at)))
  return {
    from: Math.min(...blocks.map(({ address }) => address)),
    to: Math.max(...blocks.map(({ address, lengthBytes }) => address + lengthBytes)),
  }
}

/**
 * Nodes hold small files, and did not always: what they hold now may lie in the blocks of older ones, which stand before the older
 * nodes where not much else lies between.
 */
async function withTakenFiles(
  nodes: BaseSpan | undefined,
  { taken, takenBytes }: Pick<OpenedNodes, 'taken' | 'takenBytes'>,
  news: NewBlocks,
): Promise<BaseSpan | undefined> {
  if (nodes === undefined) return undefined
  const maxBytes = 4 * (takenBytes + nodes.to - nodes.from) + NEAR_BYTES
  let { from } = nodes
  for (const cid of taken) {
    // What several files have lies where the first of them did.
    const position = news.landmark(cid)
    if (position === undefined) continue
    const { address } = await news.base.blockAt(position)
    if (address < from && nodes.to - address <= maxBytes) from = address
  }
  return { from, to: nodes.to }
}
