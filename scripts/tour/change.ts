/** Makes the working copy of the tour's tree, and the edits of its second round. The given folder itself is only read. */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

/** One file of the listing. Only names that are UTF-8 are edited; all others are left as they are. */
interface Listed {
  readonly path: string
  readonly sizeBytes: number
}

/** Copies with everything that `cp -a` keeps: links, modes, times, holes. */
export function copyFolder(source: string, copy: string): void {
  execFileSync('cp', ['-a', '--reflink=auto', '--', source, copy], { stdio: ['ignore', 'ignore', 'inherit'] })
}

/**
 * Edits a folder as a next build would: a line more in every 25th small file, a few bytes inserted into the largest
 * files, one folder renamed, one file removed, one added.
 * @returns what was done, one sentence each
 */
export function editFolder(folder: string): string[] {
  const files = listFiles(folder)
  const small = files.filter((file) => file.sizeBytes > 0 && file.sizeBytes < 256 * 1024)
  const edited = small.filter((_, index) => index % 25 === 0).slice(0, 400)
  for (const file of edited) appendFileSync(file.path, '\nsecond build\n')

  const done = [`${edited.length} small files got a line more`]
  const large = files.filter((file) => file.sizeBytes >= 256 * 1024 && file.sizeBytes < 2 ** 30)
  const inserted = large.sort((a, b) => b.sizeBytes - a.sizeBytes).slice(0, 40)
  for (const file of inserted) insertInMiddle(file.path, 'inserted')
  if (inserted.length > 0)
    done.push(`8 bytes were inserted into the middle of ${inserted.length} large files`)
  const removed = small.at(-1)
  if (removed !== undefined && small.length > 2) {
    rmSync(removed.path)
    done.push('a file was removed')
  }
  const directory = readdirSync(folder, { withFileTypes: true }).find(
    (entry) => entry.isDirectory() && !entry.name.startsWith('.'),
  )
  if (directory !== undefined) {
    renameSync(join(folder, directory.name), join(folder, `${directory.name}-renamed`))
    done.push('a folder was renamed')
  }
  mkdirSync(join(folder, 'added-by-the-second-build'))
  writeFileSync(join(folder, 'added-by-the-second-build', 'VERSION'), 'second build\n')
  done.push('a file was added in a new folder')
  return done
}

function insertInMiddle(path: string, text: string): void {
  const bytes = readFileSync(path)
  const middle = bytes.length >> 1
  writeFileSync(path, Buffer.concat([bytes.subarray(0, middle), Buffer.from(text), bytes.subarray(middle)]))
}

/** A file worth fetching by HTTP: the largest one under 64 MB, by its path inside `folder`. */
export function pickFile(folder: string): string | undefined {
  const fit = listFiles(folder).filter((file) => file.sizeBytes < 64 * 1024 * 1024)
  const best = fit.reduce<Listed | undefined>(
    (a, b) => (a === undefined || b.sizeBytes > a.sizeBytes ? b : a),
    undefined,
  )
  return best?.path.slice(folder.length + 1)
}

function listFiles(folder: string): Listed[] {
  const files: Listed[] = []
  const seen = new Set<string>()
  const visit = (directory: string): void => {
    for (const name of readdirSync(directory).sort()) {
      if (name.includes('\uFFFD')) continue
      const path = join(directory, name)
      const stats = lstatSync(path, { throwIfNoEntry: false })
      if (stats?.isDirectory()) visit(path)
      else if (stats?.isFile() && !(stats.nlink > 1 && seen.has(`${stats.ino}`))) {
        seen.add(`${stats.ino}`)
        files.push({ path, sizeBytes: stats.size })
      }
    }
  }
  visit(folder)
  return files
}
