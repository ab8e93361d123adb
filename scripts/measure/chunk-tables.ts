/** The document of chunks.ts as tables, with the bounds that the chunk size was chosen by. */
import { rounded, table } from './markdown.ts'
import type { NewBlocks } from './new-blocks.ts'
import type { RsyncBytes } from './rsync-bytes.ts'

export interface SizeFigures extends NewBlocks {
  readonly avgBytes: number
  /** Of the new build. */
  readonly files: number
  readonly bytes: number
  /** Of the new build's snapshot, without the index. */
  readonly blocks: number
  /** Import of the old build into an empty store, then of the new one. */
  readonly firstSeconds: number
  /** User and system, of all threads. */
  readonly firstCpuSeconds: number
  readonly nextSeconds: number
}

export interface PairFigures {
  readonly kind: string
  readonly name: string
  readonly sizes: readonly SizeFigures[]
  readonly rsync: RsyncBytes
  readonly rsyncCompressed: RsyncBytes
}

export interface ChunkDocument {
  readonly machine: Readonly<Record<string, string | number>>
  readonly pairs: readonly PairFigures[]
}

/** All that has to travel, each block compressed by itself at level 3. */
export function compressedBytes({ chunks, metadata }: NewBlocks): number {
  return chunks.zstd3Bytes + metadata.zstd3Bytes
}

export function chunkMarkdown({ pairs }: ChunkDocument): string {
  const [bytesRows, ratioRows, costRows]: [string[][], string[][], string[][]] = [[], [], []]
  for (const { kind, name, sizes, rsync, rsyncCompressed } of pairs) {
    const best = Math.min(...sizes.map(compressedBytes))
    for (const size of sizes) {
      const row = [`${kind}/${name}`, `${size.avgBytes / 1024}`]
      bytesRows.push([
        ...row,
        megabytes(size.chunks.bytes),
        megabytes(size.chunks.zstd1Bytes),
        megabytes(size.chunks.zstd3Bytes),
        megabytes(size.metadata.bytes),
        megabytes(size.metadata.zstd3Bytes),
        megabytes(compressedBytes(size)),
        megabytes(size.groupedBytes),
      ])
      ratioRows.push([
        ...row,
        rounded(compressedBytes(size) / best, 2),
        rounded(compressedBytes(size) / rsync.sentBytes, 2),
        rounded(compressedBytes(size) / rsyncCompressed.sentBytes, 2),
        rounded(size.groupedBytes / rsyncCompressed.sentBytes, 2),
      ])
      costRows.push([
        ...row,
        `${size.blocks}`,
        `${size.chunks.blocks + size.metadata.blocks}`,
        rounded(size.firstSeconds, 2),
        rounded(size.firstCpuSeconds, 2),
        rounded(size.nextSeconds, 2),
      ])
    }
  }
  const rsyncRows = pairs.map(({ kind, name, sizes, rsync, rsyncCompressed }) => [
    `${kind}/${name}`,
    `${sizes[0]?.files}`,
    megabytes(sizes[0]?.bytes ?? 0),
    megabytes(rsync.literalBytes),
    megabytes(rsync.sentBytes),
    megabytes(rsync.receivedBytes),
    megabytes(rsyncCompressed.sentBytes),
    `${rsync.missedFiles}`,
  ])
  const pair = ['pair', 'KiB']
  const metadata = ['metadata', 'zstd -3']
  return [
    '### Bytes to move, MB',
    table([...pair, 'chunks', 'zstd -1', 'zstd -3', ...metadata, 'to move', 'by 2 MiB'], bytesRows),
    '### Bytes to move as multiples',
    table([...pair, 'of the best size', 'of rsync', 'of rsync -z', 'of rsync -z, by 2 MiB'], ratioRows),
    '### Blocks and seconds',
    table([...pair, 'blocks', 'new blocks', 'first import, s', 'CPU s', 'next import, s'], costRows),
    '### What rsync sends, MB',
    table(
      ['pair', 'files', 'size', 'literal', 'sent', 'received', 'sent with -z', 'missed files'],
      rsyncRows,
    ),
    '',
  ].join('\n\n')
}

function megabytes(bytes: number): string {
  return rounded(bytes / 1e6, bytes < 10e6 ? 3 : 1)
}
