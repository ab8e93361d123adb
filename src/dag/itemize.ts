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
 * | 10 | `a` | POSIX ACLs; those of an entry whose attributes fill a block of their own show as `x` |
 * | 11 | `x` | other extended attributes; or holes, when nothing else differs |
 *
 * Characters 3 to 11 are all `+` for what is new, an entry that became another type included. What is gone is
 * `*deleting` and two spaces.
 */
import type { Change } from './diff.ts'
import { hasSameLink, hasSameXattrs } from './diff.ts'
import type { Entry } from './entry.ts'
import type { XattrFields } from './xattrs.ts'
import { isAcl } from './xattrs.ts'

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
    hasSameXattrs(aclsOf(before), aclsOf(after)) ? '.' : 'a',
  ].join('')
  const isOther =
    !hasSameXattrs(withoutAcls(before), withoutAcls(after)) ||
    (metadata && !content && flags === '.'.repeat(flags.length))
  const update = content ? (type === 'f' ? '>' : 'c') : '.'
  return `${update}${type}${flags}${isOther ? 'x' : '.'}`
}

function sizeOf(entry: Entry): number | undefined {
  return entry.type === 'file' ? entry.sizeBytes : undefined
}

function aclsOf({ xattrs = [] }: XattrFields): XattrFields {
  return { xattrs: xattrs.filter(({ name }) => isAcl(name)) }
}

function withoutAcls({ xattrs = [], xattrBlock }: XattrFields): XattrFields {
  return {
    xattrs: xattrs.filter(({ name }) => !isAcl(name)),
    ...(xattrBlock === undefined ? {} : { xattrBlock }),
  }
}
