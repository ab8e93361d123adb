/**
 * A gate: what a snapshot has to show before its head is signed, so that a build that is not finished, or a repository
 * that is being written, never goes out. It is judged on the imported snapshot and not on the folder: what goes out is
 * what was judged. Pure: reads the DAG only.
 *
 * A tree's record carries its gate (docs/formats.md), so it holds wherever the tree is published.
 */
import type { Entry } from '../dag/entry.ts'
import type { NodeSource } from '../dag/reader.ts'
import { checkRepositories } from './repositories.ts'
import { checkStatusFile } from './status-file.ts'
import type { Verdict } from './verdict.ts'

export type RepositoryFormat = 'deb' | 'rpm'

export type Gate =
  /** The first line of the file at `path` is `text`. */
  | { readonly path: string; readonly text: string }
  /** Every repository of the format in the tree, one at least, has what its metadata names. */
  | { readonly repository: RepositoryFormat }

/** @throws MirrorError `not-found` or `corrupt` for a block that is not there or is wrong; `aborted` */
export function judge(
  gate: Gate,
  snapshot: { readonly source: NodeSource; readonly root: Entry },
  signal?: AbortSignal,
): Promise<Verdict> {
  return 'path' in gate
    ? checkStatusFile(gate, snapshot, signal)
    : checkRepositories(gate.repository, snapshot, signal)
}
