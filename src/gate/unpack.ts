/** Package lists as text, whatever they are packed with that Node can read. */
import { Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import type { FileEntry } from '../dag/entry.ts'
import type { TreeFiles } from './tree-files.ts'

const UNPACKERS: Readonly<Record<string, () => NodeJS.ReadWriteStream>> = {
  '.gz': createGunzip,
  '.zst': createZstdDecompress,
}

export function canUnpack(path: string): boolean {
  return !/\.(?:bz2|xz|lzma|lz4|zck)$/.test(path)
}

/** Pieces of text as they come; a character is never cut. Ends with an error where the packing is damaged. */
export async function* unpack(
  files: TreeFiles,
  file: FileEntry,
  path: string,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  const unpacker = UNPACKERS[/\.[a-z]+$/.exec(path)?.[0] ?? '']
  const plain = Readable.from(files.read(file))
  const stream = unpacker === undefined ? plain : plain.compose(unpacker())
  for await (const part of stream) yield decoder.decode(part as Uint8Array, { stream: true })
  yield decoder.decode()
}
