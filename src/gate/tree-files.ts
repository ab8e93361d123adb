/** Reads files of a snapshot: whole ones of a bounded size, and any as a stream. */
import { createHash } from 'node:crypto'
import { utf8 } from '../base/bytes.ts'
import type { Entry, FileEntry } from '../dag/entry.ts'
import { fileParts, lookUp, type NodeSource } from '../dag/reader.ts'
import { getBlock } from '../dag/source.ts'

export interface TreeFiles {
  /** A path below the root, names apart by slashes; `.` and empty names count for nothing. Links are not followed. */
  find(path: string): Promise<Entry | undefined>
  read(file: FileEntry): AsyncGenerator<Uint8Array, void, undefined>
  /** Undefined when it is larger than `maxBytes`. Bytes that are not UTF-8 come as U+FFFD. */
  readText(file: FileEntry, maxBytes: number): Promise<string | undefined>
  /** In hex. */
  digest(file: FileEntry, algorithm: string): Promise<string>
}

export function createTreeFiles(
  { source, root }: { readonly source: NodeSource; readonly root: Entry },
  signal?: AbortSignal,
): TreeFiles {
  async function* read(file: FileEntry): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const { cid, inline } of fileParts(source, file, undefined, signal))
      yield inline ?? (await getBlock(source, cid, 'content', signal))
  }

  return {
    find(path) {
      return lookUp(source, root, namesOf(path), signal)
    },
    read,
    async readText(file, maxBytes) {
      if (file.sizeBytes > maxBytes) return undefined
      const parts: Uint8Array[] = []
      for await (const part of read(file)) parts.push(part)
      return Buffer.concat(parts).toString('utf8')
    },
    async digest(file, algorithm) {
      const hash = createHash(algorithm)
      for await (const part of read(file)) hash.update(part)
      return hash.digest('hex')
    },
  }
}

function namesOf(path: string): Uint8Array[] {
  return path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .map((name) => utf8(name))
}
