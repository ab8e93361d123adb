/**
 * A change as eleven characters, like those of `rsync --itemize-changes`:
 *
 * | at | character | meaning |
 * |---|---|---|
 * | 1 | `>` | new or changed content of a file |
 * | | `c` | made or changed otherwise: a directory, a symbolic link, a special file |
 * | | `.` | content as it was, metadata differs |
 * | 2 | `f` `d` `L` `S` | file, directory, symbolic link, anything else |
 * | 3 | `c` | bytes, target or device numbers differ: seen by hash, not guessed from size and time |
 * | 4 | `s` | size |
 * | 5 | `t` | modification time |
 * | 6 | `p` | mode |
 * | 7 | `o` | owner |
 * | 8 | `g` | group |
 * | 9 | `h` | hard-link group (rsync: `u`) |
 * | 10 | `a` | not used: an ACL is an extended attribute here |
 * | 11 | `x` | extended attributes; or holes, when nothing else differs |
 *
 * Characters 3 to 11 are all `+` for what is new, an entry that became another type included. What is gone is
 * `*deleting` and two spaces.
 */
import type { Change } from './diff.ts'
import { hasSameLink, hasSameXattrs } from './diff.ts'
import type { Entry } from './entry.ts'

export const ITEMS_LENGTH = 11

const TYPES: Readonly<Record<string, string>> = { file: 'f', directory: 'd', symlink: 'L' }

/** @param isCompared contents were compared by hash, not by size and time */
export function itemize({ before, after, change, content, metadata }: Change, isCompared: boolean): string {
  if (after === undefined) return '*deleting'.padEnd(ITEMS_LENGTH)
  const type = TYPES[after.type] ?? 'S'
  if (before === undefined || change === 'type') {
    return `${type === 'f' ? '>' : 'c'}${type}${'+'.repeat(ITEMS_LENGTH - 2)}`
  }
  const isHashed = content && (isCompared || after.type !== 'file')
  const flags = [
    isHashed ? 'c' : '.',
    sizeOf(before) === sizeOf(after) ? '.' : 's',
    before.mtimeSec === after.mtimeSec && before.mtimeNsec === after.mtimeNsec ? '.' : 't',
    before.mode === after.mode ? '.' : 'p',
    before.uid === after.uid && before.user === after.user ? '.' : 'o',
    before.gid === after.gid && before.group === after.group ? '.' : 'g',
    hasSameLink(before, after) ? '.' : 'h',
    '.',
  ].join('')
  const isOther =
    !hasSameXattrs(before, after) || (metadata && !content && flags === '.'.repeat(flags.length))
  const update = content ? (type === 'f' ? '>' : 'c') : '.'
  return `${update}${type}${flags}${isOther ? 'x' : '.'}`
}

function sizeOf(entry: Entry): number | undefined {
  return entry.type === 'file' ? entry.sizeBytes : undefined
}
