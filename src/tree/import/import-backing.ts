/**
 * The backing of an import that leaves chunks in place: found again by its path, so that publishing one folder each
 * night makes one backing. Before anything is read the files of all such backings are looked at (a stat each): a block
 * that the store believes to be in a file which has moved on would otherwise not be committed where it is now.
 */
import { equalBytes } from '../../base/bytes.ts'
import type { BackedFile } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'

export interface ImportBacking {
  readonly id: number
  /** That the store did not have. */
  readonly newBlocks: number
  readonly newBytes: number
  commit(files: readonly BackedFile[]): Promise<void>
}

export async function openImportBacking(
  { backings }: Pick<BlockStore, 'backings'>,
  {
    path,
    tree,
    purpose,
    signal,
  }: {
    readonly path: Uint8Array
    readonly tree: string
    readonly purpose: 'in-place' | 'adopted'
    readonly signal: AbortSignal | undefined
  },
): Promise<ImportBacking> {
  for (const each of backings.list()) if (each.purpose !== 'check-out') await backings.check(each.id, signal)
  const known = backings
    .list()
    .find((each) => each.purpose === purpose && each.label === tree && equalBytes(each.path, path))
  const id = known?.id ?? (await backings.create({ purpose, label: tree, path }))
  let newBlocks = 0
  let newBytes = 0
  return {
    id,
    async commit(files) {
      const added = await backings.commit(id, files)
      newBlocks += added.blocks
      newBytes += added.bytes
    },
    get newBlocks() {
      return newBlocks
    },
    get newBytes() {
      return newBytes
    },
  }
}
