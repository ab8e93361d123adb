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
export interface FileRef {
  readonly cid: Cid
  readonly sizeBytes: number
  /** Absent for a file's root. */
  readonly level?: number
}

/**
 * The chunks of a file that overlap `[startByte, endByte)` (default: all), in order; nodes beside the range are not
 * read. A range past the end is cut short, as read(2) does. A file that lies in its directory is one part, with its bytes.
 */
export async function* fileParts(
  source: NodeSource,
  { content, inline, sizeBytes }: Pick<FileEntry, 'content' | 'inline' | 'sizeBytes'>,
  range: { readonly startByte: number; readonly endByte: number } = {
    startByte: 0,
    endByte: sizeBytes,
  },
  signal?: AbortSignal,
  /** For those who read the same files again and again, and keep decoded nodes. */
  load: LoadFileNode = loadFileNode,
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
  if (content.code === RAW) {
    if (startByte >= sizeBytes) return
    const part = { cid: content, lengthBytes: sizeBytes, offset: 0 }
    yield inline === undefined ? part : { ...part, inline }
    return
  }
  // The nodes on the way down, each with its next part and where that starts: a reader of a large file holds no more.
  const { node } = await load(source, { cid: content, sizeBytes }, signal)
  const open = [{ node, at: 0, offset: 0 }]
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const part = top.node.parts[top.at]
    if (part === undefined || top.offset >= endByte) {
      open.pop()
      continue
    }
    const { offset } = top
    top.at++
    top.offset += part.lengthBytes
    if (top.offset <= startByte) continue
    if (top.node.level === 0) {
      yield { cid: part.cid, lengthBytes: part.lengthBytes, offset }
      continue
    }
    const ref = { cid: part.cid, sizeBytes: part.lengthBytes, level: top.node.level - 1 }
    open.push({ node: (await load(source, ref, signal)).node, at: 0, offset })
  }
}

export type LoadFileNode = (
  source: NodeSource,
  ref: FileRef,
  signal: AbortSignal | undefined,
) => Promise<{ readonly node: FileNode }>

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
