/**
 * The backing of an import that leaves chunks in place: found again by its path, so that publishing one folder each
 * night makes one backing. Before anything is read the files of all such backings are looked at (a stat each): a block
 * that the store believes to be in a file which has moved on would otherwise not be committed where it is now.
 *
 * One that nothing was committed to, because the store has every block or the import failed before the first, goes when
 * the import ends. Another import of the same folder may have found it by then: it makes one of its own.
 */
import { equalBytes } from '../../base/bytes.ts'
import { isMirrorError } from '../../base/errors.ts'
import type { BackedFile, BackingSize, NewBacking } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'

export interface ImportBacking {
  /** That the store did not have. */
  readonly newBlocks: number
  readonly newBytes: number
  commit(files: readonly BackedFile[]): Promise<void>
  /** At the end of the import, good or bad. @returns the backing, if there is one and whether it was made for this import */
  close(): Promise<{ readonly id: number; readonly isNew: boolean } | undefined>
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
  const backing: NewBacking = { purpose, label: tree, path }
  const known = backings
    .list()
    .find((each) => each.purpose === purpose && each.label === tree && equalBytes(each.path, path))
  const first = known?.id ?? (await backings.create(backing))
  let id = first
  let isNew = known === undefined
  let isClosed = false
  let another: Promise<number> | undefined
  let newBlocks = 0
  let newBytes = 0

  async function commitTo(wanted: number, files: readonly BackedFile[]): Promise<BackingSize> {
    try {
      return await backings.commit(wanted, files)
    } catch (error) {
      if (!isMirrorError(error, 'not-found') || wanted !== first || isClosed) throw error
      another ??= backings.create(backing)
      id = await another
      isNew = true
      return backings.commit(id, files)
    }
  }

  return {
    async commit(files) {
      const added = await commitTo((await another) ?? id, files)
      newBlocks += added.blocks
      newBytes += added.bytes
    },
    get newBlocks() {
      return newBlocks
    },
    get newBytes() {
      return newBytes
    },
    async close() {
      isClosed = true
      const isThere = backings.list().some((each) => each.id === id)
      return !isThere || (await backings.dropUnused(id)) ? undefined : { id, isNew }
    },
  }
}
