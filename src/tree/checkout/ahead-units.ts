/**
 * Finds in a block index, node by node, the directories whose files can be written before anything else of the tree is
 * known. An index lists what a directory's entries reach before the directory's own nodes, leaves before their branch and
 * all of them in one run; so at the end of a run each directory in it is whole, and so is the content of its files. Pure.
 *
 * What is left out is written in the ordinary way: directories of more than MAX_RUN_ENTRIES entries, those that
 * share a leaf with one before, whose run lacks it, and files that are more than a name, a mode, a time and bytes.
 */
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { DirectoryNode } from '../../dag/directory.ts'
import type { Entry, FileEntry } from '../../dag/entry.ts'
import { entryWeight } from '../../dag/entry-weight.ts'

/** Held at a time, by weight: some tens of megabytes at most. */
const MAX_RUN_ENTRIES = 65_536

/** A directory by its root node, and those of its files that can be written ahead. */
export interface AheadUnit {
  readonly cid: Cid
  readonly files: readonly FileEntry[]
}

export interface AheadUnits {
  /** The next node of the index is one of a directory. */
  add(cid: Cid, node: DirectoryNode): void
  /** The next block of the index is something else. Returns the directories of the run that ends here. */
  end(): readonly AheadUnit[]
}

/** One thread writes it from one end to the other. */
const MAX_AHEAD_BYTES = 1024 * 1024 * 1024

/** Files whose names, holes or attributes make more of them than their content are written in the ordinary way. */
export function canBeAhead(entry: Entry): entry is FileEntry {
  return (
    entry.type === 'file' &&
    entry.sizeBytes <= MAX_AHEAD_BYTES &&
    entry.link === undefined &&
    entry.holes === undefined &&
    entry.xattrs === undefined &&
    entry.xattrBlock === undefined
  )
}

export function createAheadUnits({ maxRunEntries = MAX_RUN_ENTRIES } = {}): AheadUnits {
  /** Files are undefined where not all of them are known. */
  let run: { readonly cid: Cid; readonly files: readonly FileEntry[] | undefined }[] = []
  let entries = 0

  return {
    add(cid, node) {
      entries += 1
      if (node.kind === 'leaf') for (const entry of node.entries) entries += entryWeight(entry)
      const isTooMuch = entries > maxRunEntries
      if (isTooMuch) run = []
      else if (node.kind === 'leaf') run.push({ cid, files: node.entries.filter(canBeAhead) })
      else {
        const below = run.slice(-node.children.length)
        const isBelow =
          below.length === node.children.length &&
          below.every((each, i) => cidKey(each.cid) === cidKey(node.children[i]!.cid))
        if (isBelow) run.length -= below.length
        const files = below.every((each) => each.files !== undefined)
          ? below.flatMap((each) => each.files ?? [])
          : undefined
        run.push({ cid, files: isBelow ? files : undefined })
      }
    },
    end() {
      const whole = run.flatMap(({ cid, files }) =>
        files === undefined || files.length === 0 ? [] : [{ cid, files }],
      )
      run = []
      entries = 0
      return whole
    },
  }
}
