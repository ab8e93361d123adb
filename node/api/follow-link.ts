/** The folder that a client named, for comparing it: `latest` of a folder of versions is a link to one of them. */
import { lstat, realpath, stat } from 'node:fs/promises'
import { printableName } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { readFolder } from '../../src/tree/versions/version-folder.ts'

/**
 * Where a directory is meant and a link to one is found, what it leads to; for what follows it stays the same one,
 * wherever the link is led meanwhile.
 *
 * @throws MirrorError `invalid` for a folder of versions: it has several
 */
export async function followLink(dir: Uint8Array, type: Entry['type']): Promise<Buffer> {
  const path = Buffer.from(dir)
  if (type !== 'directory' || !(await isDirectory(path))) return path
  if (readFolder(path) !== undefined) {
    const name = printableName(path)
    throw new MirrorError('invalid', `${name} is a folder of versions, not a check-out`, {
      hint: `Name one of them: ${name}/latest, or ${name}/SEQUENCE.`,
    })
  }
  return (await lstat(path)).isSymbolicLink() ? realpath(path, { encoding: 'buffer' }) : path
}

async function isDirectory(path: Buffer): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return false
    throw error
  }
}
