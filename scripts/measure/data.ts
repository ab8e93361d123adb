/** The trees that are measured: made ones, where the same numbers give the same bytes, and a real kernel's source. */
import { createCipheriv } from 'node:crypto'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { shell } from './run.ts'

const PIECE_BYTES = 4 * 1024 * 1024
const SEVERAL = 4
/** Where Debian's linux-source packages put a kernel's source. */
const KERNEL_FOLDER = '/usr/src'
const KERNEL_ARCHIVE = /^linux-source-[0-9.]+\.tar\.xz$/

export interface Source {
  readonly name: string
  readonly path: string
  /** The only file, when the source is one large file. */
  readonly largeFile?: string
  readonly files: number
  readonly bytes: number
}

export interface Sizes {
  readonly largeBytes: number
  readonly smallFiles: number
  readonly smallBytes: number
}

export const SOURCE_NAMES = ['large', 'several', 'small', 'image', 'kernel'] as const
export type SourceName = (typeof SOURCE_NAMES)[number]

/** @returns undefined when the source is a kernel and linux-source is not installed */
export async function makeSource(
  name: SourceName,
  folder: string,
  sizes: Sizes,
): Promise<Source | undefined> {
  const path = join(folder, name)
  if (name === 'large') return makeLargeFile(path, sizes.largeBytes)
  if (name === 'several') return makeSeveralFiles(path, sizes.largeBytes)
  if (name === 'small') return makeSmallFiles(path, sizes)
  const archive = kernelArchive()
  if (archive === undefined) return undefined
  mkdirSync(path)
  if (name === 'image') {
    const largeFile = join(path, 'linux.tar')
    await shell('xz -dc -T 0 "$1" > "$2"', archive, largeFile)
    return { name: 'image: a kernel source tar', path, largeFile, files: 1, bytes: statSync(largeFile).size }
  }
  await shell('tar -xf "$1" -C "$2"', archive, path)
  return { name: 'kernel source tree', path, ...weigh(path) }
}

function kernelArchive(): string | undefined {
  try {
    const name = readdirSync(KERNEL_FOLDER)
      .filter((each) => KERNEL_ARCHIVE.test(each))
      .sort()
      .at(-1)
    return name === undefined ? undefined : join(KERNEL_FOLDER, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function weigh(path: string): { files: number; bytes: number } {
  let [files, bytes] = [0, 0]
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) {
      files += 1
      bytes += statSync(join(entry.parentPath, entry.name)).size
    }
  return { files, bytes }
}

/** One file of bytes that no program can compress. */
function makeLargeFile(path: string, sizeBytes: number): Source {
  mkdirSync(path)
  const largeFile = join(path, 'large.bin')
  writeBytes(largeFile, sizeBytes, byteStream())
  return { name: 'large: random bytes', path, largeFile, files: 1, bytes: sizeBytes }
}

/** One file is read by one thread: several of them together as large use all cores. */
function makeSeveralFiles(path: string, totalBytes: number): Source {
  mkdirSync(path)
  const next = byteStream()
  const sizeBytes = Math.ceil(totalBytes / SEVERAL)
  for (let index = 0; index < SEVERAL; index++) writeBytes(join(path, `large-${index}.bin`), sizeBytes, next)
  const name = `several: ${SEVERAL} files of random bytes`
  return { name, path, files: SEVERAL, bytes: SEVERAL * sizeBytes }
}

function writeBytes(path: string, sizeBytes: number, next: (length: number) => Buffer): void {
  const file = openSync(path, 'w')
  for (let done = 0; done < sizeBytes; done += PIECE_BYTES)
    writeSync(file, next(Math.min(PIECE_BYTES, sizeBytes - done)))
  closeSync(file)
}

/** Files of random bytes, a sixteenth to 31 sixteenths of the average size, 100 a folder. */
function makeSmallFiles(path: string, { smallFiles: files, smallBytes }: Sizes): Source {
  mkdirSync(path)
  const next = byteStream()
  let bytes = 0
  for (let index = 0; index < files; index++) {
    const directory = join(path, `d${String(Math.floor(index / 100)).padStart(4, '0')}`)
    if (index % 100 === 0) mkdirSync(directory)
    const sizeBytes = Math.ceil((smallBytes / 16) * (1 + ((index * 7919) % 31)))
    writeFileSync(join(directory, `file-${index % 100}.dat`), next(sizeBytes))
    bytes += sizeBytes
  }
  return { name: 'small: random bytes', path, files, bytes }
}

/** AES-CTR of zeros under a fixed key: bytes that no program can compress or deduplicate. */
function byteStream(): (length: number) => Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  return (length) => cipher.update(Buffer.alloc(length))
}

/**
 * Changes every n-th file: other bytes in its first kilobyte, one more at its end, a new mtime.
 * @returns how many were changed
 */
export function changeFiles(path: string, every: number): number {
  const next = byteStream()
  let changed = 0
  const names = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  for (const [index, name] of names.entries()) {
    if (index % every !== 0) continue
    const bytes = Buffer.concat([readFileSync(name), Buffer.of(1)])
    next(Math.min(1024, bytes.length)).copy(bytes)
    writeFileSync(name, bytes)
    utimesSync(name, 1_700_000_000, 1_700_000_000 + index)
    changed += 1
  }
  return changed
}
