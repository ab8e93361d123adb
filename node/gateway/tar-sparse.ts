/**
 * A file with holes in a tar archive, as GNU tar has it (PAX, version 1.0; bsdtar, Python and Go read it too): instead of the content
 * stands a map of where its data lies, and then the data alone.
 *
 *   map      number of segments, then offset and length of each: decimal, each ends in a newline; padded with zeros to 512
 *   data     the segments, one behind the other
 *
 * The pax header says `GNU.sparse.major=1`, `minor=0`, the file's name and its size. A hole of an entry is what a publisher says:
 * only where its bytes are zeros it is one here.
 */
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import { fileParts, type NodeSource } from '../../src/dag/reader.ts'
import { getBlock } from '../../src/dag/source.ts'
import { createZeroTest } from '../../src/tree/zero-chunks.ts'
import { isZeros } from '../../src/tree/zeros.ts'
import { type PaxRecord, tarPadding } from './tar-header.ts'

export interface SparseFile {
  readonly records: readonly PaxRecord[]
  /** What the header calls it: those who know no holes then find no file of the right name with wrong content. */
  readonly headerName: Uint8Array
  readonly map: Uint8Array
  readonly segments: readonly { readonly startByte: number; readonly endByte: number }[]
  /** Of the map and the data. */
  readonly sizeBytes: number
}

/** Undefined when the file has no hole, or is not shorter without them. */
export async function sparseFile(
  blocks: NodeSource,
  entry: FileEntry,
  name: Uint8Array,
  signal: AbortSignal,
): Promise<SparseFile | undefined> {
  if (entry.holes === undefined) return undefined
  const segments = dataBetween(await trueHoles(blocks, entry, entry.holes, signal), entry.sizeBytes)
  const numbers = segments.flatMap(({ startByte, endByte }) => [startByte, endByte - startByte])
  const text = utf8([segments.length, ...numbers].map((number) => `${number}\n`).join(''))
  const map = concatBytes([text, tarPadding(text.length)])
  const sizeBytes = segments.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, map.length)
  if (sizeBytes >= entry.sizeBytes) return undefined
  return {
    records: [
      ['GNU.sparse.major', utf8('1')],
      ['GNU.sparse.minor', utf8('0')],
      ['GNU.sparse.name', name],
      ['GNU.sparse.realsize', utf8(String(entry.sizeBytes))],
    ],
    headerName: concatBytes([utf8('GNUSparseFile.0/'), name.subarray(0, 84)]),
    map,
    segments,
    sizeBytes,
  }
}

/** The last segment ends where the file does, if it is of no bytes. */
function dataBetween(holes: readonly number[], sizeBytes: number): { startByte: number; endByte: number }[] {
  const segments: { startByte: number; endByte: number }[] = []
  let startByte = 0
  for (let at = 0; at < holes.length; at += 2) {
    if (holes[at]! > startByte) segments.push({ startByte, endByte: holes[at]! })
    startByte = holes[at]! + holes[at + 1]!
  }
  return [...segments, { startByte, endByte: sizeBytes }]
}

/** Those of `holes` that read as zeros. Chunks of zeros are known by their CIDs; others are read. */
async function trueHoles(
  blocks: NodeSource,
  entry: FileEntry,
  holes: readonly number[],
  signal: AbortSignal,
): Promise<number[]> {
  const isZeroChunk = createZeroTest()
  const found: number[] = []
  for (let at = 0; at < holes.length; at += 2) {
    const [startByte, length] = [holes[at]!, holes[at + 1]!]
    if (await isHole({ startByte, endByte: startByte + length })) found.push(startByte, length)
  }
  return found

  async function isHole(range: { readonly startByte: number; readonly endByte: number }): Promise<boolean> {
    for await (const { cid, inline, lengthBytes, offset } of fileParts(blocks, entry, range, signal)) {
      if (isZeroChunk({ cid, lengthBytes })) continue
      const bytes = inline ?? (await getBlock(blocks, cid, 'file', signal))
      const within = bytes.subarray(Math.max(0, range.startByte - offset), range.endByte - offset)
      if (!isZeros(within)) return false
    }
    return true
  }
}
