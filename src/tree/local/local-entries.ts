/**
 * The entries of one directory in the order of their names, with their kind. A small directory is listed by one call that
 * tells both; of a large one the names wait in a temporary file (directory-names.ts), and each is looked at when its
 * turn comes.
 */
import fs from 'node:fs'
import os from 'node:os'
import { readDirectoryNames } from '../directory-names.ts'
import { joinPath } from '../path-bytes.ts'

/** What a directory says of its size: bytes on most file systems. */
const SMALL_DIRECTORY = 64 * 1024

export interface LocalEntry {
  readonly name: Buffer
  isFile(): boolean
  isDirectory(): boolean
}

export interface LocalEntries {
  next(): LocalEntry | undefined
  close(): void
}

/** Reads names and kinds, and follows no link. @throws what opening or reading the directory throws */
export function readLocalEntries(
  path: Buffer,
  { smallDirectory = SMALL_DIRECTORY }: { readonly smallDirectory?: number } = {},
): LocalEntries {
  const { size } = fs.lstatSync(path)
  if (size <= smallDirectory) return listAll(path)
  const names = readDirectoryNames(path, size, { tempDir: os.tmpdir(), smallDirectory })
  return {
    next() {
      for (let text = names.next(); text !== undefined; text = names.next()) {
        const name = Buffer.from(text, 'latin1')
        // One that went away meanwhile is none.
        const stat = fs.lstatSync(joinPath(path, name), { throwIfNoEntry: false })
        if (stat === undefined) continue
        return { name, isFile: () => stat.isFile(), isDirectory: () => stat.isDirectory() }
      }
      return undefined
    },
    close: () => names.close(),
  }
}

function listAll(path: Buffer): LocalEntries {
  const entries = fs.readdirSync(path, { encoding: 'buffer', withFileTypes: true })
  entries.sort((a, b) => a.name.compare(b.name))
  let at = 0
  return { next: () => entries[at++], close: () => undefined }
}
