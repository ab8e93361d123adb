/** What passes between the main thread of an import, its tree thread and its read threads. Plain data only. */
import type { ChunkerParams } from '../../block/chunker.ts'
import type { SnapshotCounts, Uncaptured } from '../../dag/snapshot.ts'
import type { BackedFile } from '../../store/block-backings.ts'
import type { SpoolBatch } from '../spool/spool.ts'
import type { TrustLimits } from '../spool/stat-key.ts'
import type { CacheEnd, CacheSubject } from '../stat-cache/file.ts'
import type { BlockAnswer, BlockQuestion } from './block-questions.ts'
import type { ImportCompression } from './block-sink.ts'
import type { SharedFile, SpanReport } from './file-spans.ts'
import type { ScanResult } from './scan.ts'

export interface ScanInput {
  readonly root: Uint8Array
  readonly spoolFd: number
  /** For the names of very large directories. */
  readonly tempDir: string
  readonly ignore: readonly string[]
  /** The cache that the last import of this source left, and where its results are copied to. */
  readonly known?: { readonly cacheFd: number; readonly subject: CacheSubject; readonly resultsFd: number }
}
export type ScanQuestion = { readonly kind: 'batch'; readonly batch: SpoolBatch }
export type { ScanResult }

export interface ReadInput {
  readonly root: Uint8Array
  readonly spoolFd: number
  readonly resultsFd: number
  /** For the runs of chunks of the spans that this thread cuts of shared files. */
  readonly spansFd: number
  /** See Sharing. */
  readonly spanBytes: number
  readonly chunker: ChunkerParams
  readonly compression: ImportCompression
  readonly isPrivate: boolean
  /** Chunks stay in the files that they were read from. */
  readonly isInPlace: boolean
  /** Of the scan's known results. */
  readonly knownFd?: number
}
export type ReadQuestion =
  | BlockQuestion
  /** Blocks of files that were just read: commit them where they lie. */
  | { readonly kind: 'back'; readonly files: readonly BackedFile[] }
  /** The batch given before is read, its results lie in this range; or this was found of a shared file. Give another. */
  | { readonly kind: 'next'; readonly read?: ReadRange; readonly found?: SpanReport }
  /** Others may help with this file from now on. */
  | { readonly kind: 'share'; readonly file: SharedFile }
  /** Nobody begins to help with it any more: waits for what those who did have found. */
  | { readonly kind: 'gather' }
  | { readonly kind: 'progress'; readonly bytes: number }
export type ReadAnswer =
  | BlockAnswer
  | { readonly kind: 'batch'; readonly batch?: SpoolBatch }
  | { readonly kind: 'help'; readonly file: SharedFile }
  | { readonly kind: 'gathered'; readonly reports: readonly SpanReport[] }
  | undefined

/** Where a read thread's results of one batch lie. */
export interface ReadRange {
  readonly startByte: number
  readonly endByte: number
}

export interface BuildInput {
  /** See ImportOptions. */
  readonly below?: Uint8Array
  readonly rootPath: string
  readonly spoolFd: number
  readonly spillFd: number
  /** For what the block index does not hold in memory. */
  readonly tempDir: string
  readonly compression: ImportCompression
  readonly isPrivate: boolean
  /** The stat cache to write. */
  readonly cache?: { readonly fd: number; readonly subject: CacheSubject; readonly limits: TrustLimits }
}
export type BuildQuestion =
  | BlockQuestion
  /** The next batch in walk order, once its files are read. */
  | { readonly kind: 'next' }
export type BuildAnswer = BlockAnswer | { readonly kind: 'batch'; readonly batch?: BuildBatch }
export interface BuildBatch {
  readonly records: ReadRange
  readonly results?: ReadRange & { readonly fd: number }
}
/** Classes do not cross threads: the root's entry and the index's root travel as bytes. */
export interface BuildResult {
  readonly root: Uint8Array
  readonly indexKey: Uint8Array
  readonly counts: SnapshotCounts
  readonly uncaptured: Uncaptured
  /** Absent when no cache was asked for, or it could not be written: then the reason. */
  readonly cacheEnd?: CacheEnd
  readonly cacheProblem?: string
}

export interface TreeInput {
  readonly scan: ScanInput
  readonly build: BuildInput
}
export type TreeQuestion = ScanQuestion | { readonly kind: 'scanned' } | BuildQuestion
export type TreeAnswer = BuildAnswer | undefined
