/**
 * Asks whether a source is still what a snapshot was made of, by its stat cache alone (check-tree.ts): before an import,
 * which then need not be.
 */
import path from 'node:path'
import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import type { ChunkerParams } from '../../block/chunker.ts'
import { DEFAULT_CHUNKER } from '../../block/chunker.ts'
import type { Cid } from '../../block/cid.ts'
import { abortable } from '../abort.ts'
import type { OnProgress } from '../progress.ts'
import { createProgress } from '../progress.ts'
import { startThread } from '../thread.ts'
import type { CheckResult } from './check-tree.ts'
import type { CacheSubject } from './file.ts'
import type { StatCaches } from './stat-caches.ts'

export interface CheckInput {
  readonly root: Uint8Array
  readonly cacheFd: number
  readonly subject: CacheSubject
  readonly ignore: readonly string[]
  /** For the names of very large directories. */
  readonly tempDir: string
}

export interface UnchangedOptions {
  readonly path: string | Uint8Array
  readonly tree: string
  /** What the source has to be unchanged since. */
  readonly snapshot: Cid
  readonly chunker?: ChunkerParams
  readonly ignore?: readonly string[]
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

/** False whenever that is not certain. */
export async function isUnchanged(
  { statCaches, tempDir, clock }: { statCaches: StatCaches; tempDir: string; clock: Clock },
  {
    path: source,
    tree,
    snapshot,
    chunker = DEFAULT_CHUNKER,
    ignore = [],
    signal,
    onProgress,
  }: UnchangedOptions,
): Promise<boolean> {
  const root = sourceBytes(source)
  const subject = { tree, root, chunker }
  const cache = statCaches.open(subject)
  if (cache === undefined) return false
  try {
    if (!cache.snapshot.equals(snapshot)) return false
    const progress = createProgress(clock, onProgress)
    const thread = startThread<CheckInput, number, undefined, CheckResult>(
      new URL('./check-worker', import.meta.url),
      { root, cacheFd: cache.fd, subject, ignore, tempDir },
      (entries) => {
        progress.add('scan', entries, 0)
        return undefined
      },
      `look at the files of ${printableName(root)}`,
    )
    try {
      return (await abortable(thread.done, signal)).isUnchanged
    } finally {
      progress.stop()
      await thread.stop()
    }
  } finally {
    cache.close()
  }
}

export function sourceBytes(source: string | Uint8Array): Buffer {
  return typeof source === 'string' ? Buffer.from(path.resolve(source)) : Buffer.from(source)
}
