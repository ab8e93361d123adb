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
  const rows = pairs.flatMap((pair) => {
    const best = Math.min(...pair.sizes.map(compressedBytes))
    return pair.sizes.map((size) => [
      `${pair.kind}/${pair.name}`,
      `${size.avgBytes / 1024}`,
      megabytes(size.chunks.bytes),
      megabytes(size.chunks.zstd1Bytes),
      megabytes(size.chunks.zstd3Bytes),
      megabytes(size.metadata.bytes),
      megabytes(size.metadata.zstd3Bytes),
      megabytes(compressedBytes(size)),
      `${size.chunks.blocks + size.metadata.blocks}`,
      `${size.blocks}`,
      rounded(size.firstSeconds, 1),
      rounded(size.nextSeconds, 1),
      rounded(compressedBytes(size) / pair.rsync.sentBytes, 2),
      rounded(compressedBytes(size) / pair.rsyncCompressed.sentBytes, 2),
      rounded(compressedBytes(size) / best, 2),
    ])
  })
  const rsync = pairs.map(({ kind, name, sizes, rsync, rsyncCompressed }) => [
    `${kind}/${name}`,
    `${sizes[0]?.files}`,
    megabytes(sizes[0]?.bytes ?? 0),
    megabytes(rsync.literalBytes),
    megabytes(rsync.sentBytes),
    megabytes(rsync.receivedBytes),
    megabytes(rsyncCompressed.sentBytes),
    `${rsync.missedFiles}`,
  ])
  return [
    table(
      [
        ...['pair', 'KiB', 'chunks', 'zstd -1', 'zstd -3', 'metadata', 'zstd -3', 'to move'],
        ...['new blocks', 'all blocks', 'first, s', 'next, s', '/ rsync', '/ rsync -z', '/ best'],
      ],
      rows,
    ),
    table(['pair', 'files', 'size', 'literal', 'sent', 'received', 'sent with -z', 'missed files'], rsync),
    '',
  ].join('\n\n')
}

function megabytes(bytes: number): string {
  return rounded(bytes / 1e6, bytes < 10e6 ? 3 : 1)
}
