/**
 * A folder and the ones above it. Not mkdir's own `recursive`: where a system answers "no such file" for a folder whose
 * parent exists (/proc, some network and FUSE file systems) that tries for ever, and on a read-only file system it
 * reports ENOENT for EROFS (Node 24).
 */
import fs from 'node:fs'
import path from 'node:path'

/** What is there already is left as it is. Throws as mkdir does. @param mode of each folder that is made */
export function makeDirs(dir: string, mode: number): void {
  const missing: string[] = []
  for (let at = path.resolve(dir); !isDirectory(at); at = path.dirname(at)) missing.push(at)
  for (const each of missing.reverse()) {
    try {
      fs.mkdirSync(each, { mode })
    } catch (error) {
      // Made by another process meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isDirectory(each)) throw error
    }
  }
}

function isDirectory(target: string): boolean {
  return fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() === true
}
