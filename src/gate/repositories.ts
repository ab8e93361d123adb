/**
 * Whether every package repository in a snapshot is whole: what its metadata names is there, metadata files have the
 * digest that the index above them says, and packages the size that the list of packages says.
 *
 * Packages are not hashed: that would read the whole tree once more, and a mirror that is being written shows in sizes
 * and in files that are missing.
 */
import { printableName } from '../base/bytes.ts'
import type { Entry } from '../dag/entry.ts'
import type { NodeSource } from '../dag/reader.ts'
import { walk } from '../dag/reader.ts'
import { checkDebRepository } from './deb-repository.ts'
import { createPackageSizes, type RepositoryJob } from './repository-job.ts'
import { checkRpmRepository } from './rpm-repository.ts'
import { createTreeFiles } from './tree-files.ts'
import { createVerdict, type Verdict } from './verdict.ts'

/** More in one tree are refused, not skipped. */
const MAX_REPOSITORIES = 10_000

const FORMATS = {
  rpm: { indexOf: rpmIndex, check: checkRpmRepository, example: 'repodata/repomd.xml' },
  deb: { indexOf: debIndex, check: checkDebRepository, example: 'dists/SUITE/Release' },
} as const

export async function checkRepositories(
  format: 'deb' | 'rpm',
  snapshot: { readonly source: NodeSource; readonly root: Entry },
  signal?: AbortSignal,
): Promise<Verdict> {
  const verdict = createVerdict()
  const files = createTreeFiles(snapshot, signal)
  const { indexOf, check, example } = FORMATS[format]
  // Indexes first: the walk holds what it reads.
  const found = new Map<string, string>()
  for await (const { path, entry } of walk(snapshot.source, snapshot.root, signal)) {
    if (entry.type !== 'file') continue
    const index = indexOf(path.map(nameOf))
    // Of InRelease and Release, which apt takes by turns, the walk meets InRelease first.
    if (index !== undefined && !found.has(index.base)) found.set(index.base, index.path)
    if (found.size > MAX_REPOSITORIES) {
      verdict.close(`there are more than ${MAX_REPOSITORIES} repositories`)
      return verdict.finish()
    }
  }
  if (found.size === 0) verdict.close(`there is no ${example} in it`)
  const sizes = createPackageSizes(files, snapshot.source, signal)
  for (const path of found.values()) {
    const job: RepositoryJob = { files, sizes, path, verdict }
    await check(job, signal)
  }
  return verdict.finish()
}

function nameOf(bytes: Uint8Array): string {
  return printableName(bytes)
}

function rpmIndex(path: readonly string[]): { base: string; path: string } | undefined {
  if (path.at(-1) !== 'repomd.xml' || path.at(-2) !== 'repodata') return undefined
  return { base: path.slice(0, -2).join('/'), path: path.join('/') }
}

function debIndex(path: readonly string[]): { base: string; path: string } | undefined {
  const name = path.at(-1)
  if (name !== 'Release' && name !== 'InRelease') return undefined
  // Components have small Release files of their own, without digests: below dists/SUITE/main/binary-amd64.
  const dists = path.lastIndexOf('dists')
  if (dists < 0 || path.some((part) => part.startsWith('binary-') || part === 'source')) return undefined
  return { base: path.slice(0, -1).join('/'), path: path.join('/') }
}
