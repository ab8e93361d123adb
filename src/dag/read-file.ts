import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { RAW } from '../block/cid.ts'
import type { FileEntry } from './entry.ts'
import type { FileNode, FilePart } from './file.ts'
import { decodeFileNode } from './file.ts'
import type { NodeSource } from './source.ts'
import { getBlock } from './source.ts'

export interface PlacedPart extends FilePart {
  /** Where the chunk starts in the file. */
  readonly offset: number
}

/** A file node that is to be read, with what its entry or its parent says of it. */
interface FileRef {
  readonly cid: Cid
  readonly sizeBytes: number
  /** Absent for a file's root. */
  readonly level?: number
}

/**
 * The chunks of a file that overlap `[startByte, endByte)` (default: all), in order; nodes beside the range are not
 * read. A range past the end is cut short, as read(2) does.
 */
export async function* fileParts(
  source: NodeSource,
  { content, sizeBytes }: Pick<FileEntry, 'content' | 'sizeBytes'>,
  range: { readonly startByte: number; readonly endByte: number } = {
    startByte: 0,
    endByte: sizeBytes,
  },
  signal?: AbortSignal,
): AsyncGenerator<PlacedPart, void, undefined> {
  const { startByte, endByte } = range
  if (
    !Number.isSafeInteger(startByte) ||
    !Number.isSafeInteger(endByte) ||
    startByte < 0 ||
    endByte < startByte
  ) {
    throw new MirrorError(
      'invalid',
      `no such range of a file of ${sizeBytes} bytes: ${startByte} to ${endByte}`,
    )
  }
  if (content === undefined || startByte === endByte) return
  const stack: { ref: FileRef; offset: number; isChunk: boolean }[] = [
    {
      ref: { cid: content, sizeBytes },
      offset: 0,
      isChunk: content.code === RAW,
    },
  ]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { ref, offset, isChunk } = next
    if (offset >= endByte || offset + ref.sizeBytes <= startByte) continue
    if (isChunk) {
      yield { cid: ref.cid, lengthBytes: ref.sizeBytes, offset }
      continue
    }
    const { node } = await loadFileNode(source, ref, signal)
    let end = offset + ref.sizeBytes
    for (const { cid, lengthBytes } of [...node.parts].reverse()) {
      end -= lengthBytes
      stack.push({
        ref: { cid, sizeBytes: lengthBytes, level: node.level - 1 },
        offset: end,
        isChunk: node.level === 0,
      })
    }
  }
}

/** @throws MirrorError `corrupt` when the node is not what its parent or its entry says of it */
export async function loadFileNode(
  source: NodeSource,
  ref: FileRef,
  signal: AbortSignal | undefined,
): Promise<{ node: FileNode; lengthBytes: number }> {
  const bytes = await getBlock(source, ref.cid, 'file', signal)
  const node = decodeFileNode(ref.cid, bytes)
  if (node.sizeBytes !== ref.sizeBytes || (ref.level !== undefined && node.level !== ref.level)) {
    throw new MirrorError('corrupt', `file node ${ref.cid.toString()} is not what its parent says of it`)
  }
  return { node, lengthBytes: bytes.length }
}
