/**
 * Names of users and groups, from /etc/passwd and /etc/group alone: a directory service may hang, and two nodes need
 * not agree. Read once; an id without a line there has no name.
 */
import { readFileSync } from 'node:fs'

/** Longer than any that useradd makes, short enough for an entry. */
const MAX_NAME_CHARACTERS = 64

export interface OwnerNames {
  user(uid: number): string | undefined
  group(gid: number): string | undefined
}

export function readOwnerNames(passwdPath = '/etc/passwd', groupPath = '/etc/group'): OwnerNames {
  const users = parse(passwdPath)
  const groups = parse(groupPath)
  return { user: (uid) => users.get(uid), group: (gid) => groups.get(gid) }
}

/** Both files are `name:password:id:...`; the first line of an id wins, as in libc. */
function parse(path: string): Map<number, string> {
  const names = new Map<number, string>()
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return names
  }
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':')
    if (!name || id === undefined || !/^\d{1,10}$/.test(id)) continue
    if (name.length <= MAX_NAME_CHARACTERS && !names.has(Number(id))) names.set(Number(id), name)
  }
  return names
}
