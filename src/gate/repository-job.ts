/** What the checks of one repository share. */
import type { NodeSource } from '../dag/reader.ts'
import { readDirectory } from '../dag/reader.ts'
import type { TreeFiles } from './tree-files.ts'
import type { VerdictBuilder } from './verdict.ts'

export interface RepositoryJob {
  readonly files: TreeFiles
  readonly sizes: PackageSizes
  /** Of its index: repomd.xml, Release or InRelease. */
  readonly path: string
  readonly verdict: VerdictBuilder
}

export interface PackageSizes {
  /** Bytes of the file at a path below the root; null for what is there and no file, such as a link. */
  sizeOf(path: string): Promise<number | null | undefined>
}

/** Lists name packages folder by folder, so few folders serve nearly all questions. */
const MAX_FOLDERS = 64
const MAX_NAMES = 1_000_000

/** One look-up a package would read the folder's nodes again each time; whole folders are kept instead, the last ones asked for. */
export function createPackageSizes(files: TreeFiles, source: NodeSource, signal?: AbortSignal): PackageSizes {
  const folders = new Map<string, ReadonlyMap<string, number | null>>()
  let names = 0

  async function load(folder: string): Promise<ReadonlyMap<string, number | null>> {
    const entry = await files.find(folder)
    const sizes = new Map<string, number | null>()
    if (entry?.type !== 'directory') return sizes
    for await (const child of readDirectory(source, entry.directory, { signal }))
      sizes.set(Buffer.from(child.name).toString('utf8'), child.type === 'file' ? child.sizeBytes : null)
    return sizes
  }

  return {
    async sizeOf(path) {
      const parts = path.split('/').filter((name) => name !== '' && name !== '.')
      const name = parts.pop() ?? ''
      const folder = parts.join('/')
      let sizes = folders.get(folder)
      if (sizes === undefined) {
        sizes = await load(folder)
        names += sizes.size
      } else folders.delete(folder)
      folders.set(folder, sizes)
      for (const [oldest, { size }] of folders) {
        if (oldest === folder || (folders.size <= MAX_FOLDERS && names <= MAX_NAMES)) break
        folders.delete(oldest)
        names -= size
      }
      return sizes.get(name)
    },
  }
}

/** Says what is wrong with a package that a list names; nothing when it is there in its size. */
export async function checkPackage(
  { sizes, verdict }: RepositoryJob,
  { path, sizeBytes, listedIn }: { path: string; sizeBytes: number | undefined; listedIn: string },
): Promise<void> {
  const found = await sizes.sizeOf(path)
  if (found === undefined) verdict.close(`${path} is not there, and ${listedIn} names it`)
  else if (found !== null && sizeBytes !== undefined && found !== sizeBytes)
    verdict.close(`${path} has ${found} bytes where ${listedIn} says ${sizeBytes}`)
}
