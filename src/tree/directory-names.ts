/**
 * The names in one directory in the order of their bytes, without holding all of them: latin1, one character a byte,
 * so that sorting such strings is the order of raw bytes.
 *
 * A directory that is small by its own account is listed with one call. A larger one is read piece by piece, each piece
 * sorted and put aside in a temporary file, and the pieces are merged while the names are taken: a directory of ten
 * million names weighs no more than one of a hundred thousand.
 */
import fs from 'node:fs'
import type { RecordReader, RecordWindow } from './spool/record-bytes.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from './spool/record-bytes.ts'

/** What a directory says of its size: bytes on most file systems (2,000 names and more), names on a few. */
const SMALL_DIRECTORY = 64 * 1024
const PIECE_NAMES = 32 * 1024
/** Names that one system call brings. */
const READ_NAMES = 1024
const OPEN_OPTIONS = { encoding: 'latin1' as BufferEncoding, bufferSize: READ_NAMES }
/** A reader each while they are merged. */
const WINDOW_BYTES = 16 * 1024
/** Pieces that are merged at a time; with more, the first ones are merged into one. */
const MAX_PIECES = 64

export interface DirectoryNames {
  /** The next name, or undefined at the end. */
  next(): string | undefined
  /** Gives back what is held; for whoever does not go on to the end, too. */
  close(): void
}

export interface DirectoryNamesOptions {
  /** For names that are put aside. */
  readonly tempDir: string
  readonly smallDirectory?: number
  readonly pieceNames?: number
  readonly maxPieces?: number
}

/**
 * @param sizeBytes of the directory, from its stat
 * @throws what opening or reading it throws; afterwards nothing does but the temporary file
 */
export function readDirectoryNames(
  path: Buffer,
  sizeBytes: number,
  options: DirectoryNamesOptions,
): DirectoryNames {
  const { smallDirectory = SMALL_DIRECTORY } = options
  if (sizeBytes <= smallDirectory) return listAll(path)
  const collector = createCollector(options)
  const directory = fs.opendirSync(path, OPEN_OPTIONS)
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      collector.add(entry.name)
    }
  } catch {
    // Where a directory does not tell of what kind its entries are, Node stats each, and gives up when one has gone: such
    // a directory is held whole. An error that is the directory's own comes again.
    collector.close()
    return listAll(path)
  } finally {
    directory.closeSync()
  }
  return collector.finish()
}

/** The same for a thread that must not wait for a disk; the names themselves are taken without waiting. */
export async function loadDirectoryNames(
  path: Buffer,
  sizeBytes: number,
  options: DirectoryNamesOptions,
): Promise<DirectoryNames> {
  const { smallDirectory = SMALL_DIRECTORY } = options
  const whole = async (): Promise<DirectoryNames> =>
    listOf((await fs.promises.readdir(path, { encoding: 'latin1' })).sort())
  if (sizeBytes <= smallDirectory) return whole()
  const collector = createCollector(options)
  const directory = await fs.promises.opendir(path, OPEN_OPTIONS)
  try {
    // Closes the directory at its end.
    for await (const { name } of directory) collector.add(name)
  } catch {
    collector.close()
    return whole()
  }
  return collector.finish()
}

/** Takes the names of one directory as they come. */
function createCollector({
  tempDir,
  pieceNames = PIECE_NAMES,
  maxPieces = MAX_PIECES,
}: DirectoryNamesOptions): { add(name: string): void; finish(): DirectoryNames; close(): void } {
  let piece: string[] = []
  let aside: Pieces | undefined
  return {
    add(name) {
      piece.push(name)
      if (piece.length < pieceNames) return
      aside ??= createPieces(tempDir, maxPieces)
      aside.add(listOf(piece.sort()))
      piece = []
    },
    finish() {
      const rest = listOf(piece.sort())
      return aside === undefined ? rest : aside.merge(rest)
    },
    close: () => aside?.close(),
  }
}

function listAll(path: Buffer): DirectoryNames {
  return listOf(fs.readdirSync(path, { encoding: 'latin1' }).sort())
}

function listOf(names: readonly string[]): DirectoryNames {
  let at = 0
  return { next: () => names[at++], close: () => undefined }
}

interface Pieces {
  /** Names in ascending order. */
  add(names: DirectoryNames): void
  /** All pieces and one more, as one. */
  merge(last: DirectoryNames): DirectoryNames
  close(): void
}

/** One temporary file: pieces that were merged into a larger one leave a gap in it. */
function createPieces(tempDir: string, maxPieces: number): Pieces {
  const fd = openUnnamedFile(tempDir, 'names')
  const out = createRecordWriter(fd)
  let ranges: { readonly startByte: number; readonly endByte: number }[] = []
  let isOpen = true

  function close(): void {
    if (isOpen) fs.closeSync(fd)
    isOpen = false
  }

  function write(names: DirectoryNames): void {
    const startByte = out.position
    for (let name = names.next(); name !== undefined; name = names.next()) {
      const bytes = Buffer.from(name, 'latin1')
      out.u8(bytes.length)
      out.bytes(bytes)
    }
    out.flush()
    ranges.push({ startByte, endByte: out.position })
  }

  const readers = (): DirectoryNames[] =>
    ranges.map(({ startByte, endByte }) => {
      const window: RecordWindow = { buffer: Buffer.allocUnsafeSlow(WINDOW_BYTES) }
      return namesOf(createRecordReader(fd, startByte, endByte, window))
    })

  return {
    add(names) {
      if (ranges.length >= maxPieces) {
        const merged = mergeNames(readers())
        ranges = []
        write(merged)
      }
      write(names)
    },
    merge: (last) => ({ next: mergeNames([...readers(), last]).next, close }),
    close,
  }
}

function namesOf(records: RecordReader): DirectoryNames {
  return {
    next: () => (records.isAtEnd ? undefined : records.view(records.u8()).toString('latin1')),
    close: () => undefined,
  }
}

/** A heap of the lists by their next names. */
function mergeNames(lists: readonly DirectoryNames[]): DirectoryNames {
  const heap: { name: string; readonly list: DirectoryNames }[] = []

  function sink(start: number): void {
    const item = heap[start]!
    let at = start
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.name < heap[child]!.name) child += 1
      if (heap[child]!.name >= item.name) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = item
  }

  for (const list of lists) {
    const name = list.next()
    if (name !== undefined) heap.push({ name, list })
  }
  for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(at)
  return {
    next() {
      const top = heap[0]
      if (top === undefined) return undefined
      const { name } = top
      const next = top.list.next()
      if (next !== undefined) top.name = next
      else {
        const last = heap.pop()!
        if (heap.length === 0) return name
        heap[0] = last
      }
      sink(0)
      return name
    },
    close: () => undefined,
  }
}
