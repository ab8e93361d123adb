/** The blocks of a file in the order of the block index: chunks, and each node right after what it lists. */
import type { Cid } from '../block/cid.ts'
import { RAW } from '../block/cid.ts'
import type { FileEntry } from '../dag/entry.ts'
import { loadFileNode } from '../dag/read-file.ts'
import type { NodeSource } from '../dag/reader.ts'

export interface FileBlock {
  readonly cid: Cid
  /** Of the block; for one that was passed over with all below it, of what lies below. */
  readonly lengthBytes: number
}

/** @param isOpened nodes for which it says no are not read, and stand for all below them */
export async function* fileBlocks(
  source: NodeSource,
  { content, inline, sizeBytes }: FileEntry,
  isOpened: (cid: Cid) => boolean,
  signal?: AbortSignal,
): AsyncGenerator<FileBlock, void, undefined> {
  if (content === undefined || inline !== undefined) return
  if (content.code === RAW) {
    yield { cid: content, lengthBytes: sizeBytes }
    return
  }
  type Below = { readonly ref: { readonly cid: Cid; readonly sizeBytes: number; readonly level?: number } }
  const stack: (Below | FileBlock)[] = [{ ref: { cid: content, sizeBytes } }]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (!('ref' in next)) {
      yield next
      continue
    }
    const { ref } = next
    if (!isOpened(ref.cid)) {
      yield { cid: ref.cid, lengthBytes: ref.sizeBytes }
      continue
    }
    const { node, lengthBytes } = await loadFileNode(source, ref, signal)
    stack.push({ cid: ref.cid, lengthBytes })
    if (node.level === 0) yield* node.parts
    else
      for (const part of [...node.parts].reverse())
        stack.push({ ref: { cid: part.cid, sizeBytes: part.lengthBytes, level: node.level - 1 } })
  }
}
