/**
 * The batches of one check-out, in phases: contents in walk order (directories are made here, as the walk meets them),
 * then hard links and the metadata of large files, then that of directories, innermost first, then one sync. A phase starts when everything
 * of the one before is written. Memory: one batch, one leaf for each open directory, 8 bytes a directory, and one
 * path for each hard-link group; the rest waits in a temporary file.
 */
import fs from 'node:fs'
import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { cidKey } from '../block/cid.ts'
import type { Entry, FileEntry, LinkableEntry } from '../dag/entry.ts'
import { isDevice } from '../dag/entry.ts'
import type { FilePart } from '../dag/file.ts'
import { holesWithin } from '../dag/holes.ts'
import { fileParts, walk } from '../dag/reader.ts'
import type { Xattr } from '../dag/xattrs.ts'
import { loadXattrs } from '../dag/xattrs.ts'
import type { BlockStore } from '../store/block-store.ts'
import type { WriteBatch } from './checkout-threads.ts'
import { joinPath } from './path-bytes.ts'
import { createRecordReader, createRecordWriter } from './record-bytes.ts'
import { readWaiting, writeWaiting } from './waiting-records.ts'
import { createWriteBatchBuilder, taskMetadata } from './write-batch-builder.ts'
import { NO_XATTRS } from './xattr-records.ts'
import { createZeroTest } from './zeros.ts'

/** A file over this is written in pieces, by all threads; so is every file with holes. */
const PIECE_BYTES = 8 * 1024 * 1024

export interface CheckoutLimits {
  /** Entries of the tree and sum of the file sizes: a DAG may name one directory in many places. */
  readonly entries: number
  readonly bytes: number
}

export interface Outstanding {
  begin(): void
  end(): void
  /** Resolves when none is left; rejects once `giveUp` was called. */
  settled(): Promise<void>
  giveUp(): void
}

export interface CheckoutPlanOptions {
  readonly root: Entry
  readonly staging: Buffer
  /** For records that wait. */
  readonly temporaryFds: { readonly links: number; readonly directories: number }
  readonly limits: CheckoutLimits | undefined
  /** Make device nodes. */
  readonly devices: boolean
  readonly signal: AbortSignal | undefined
  /** Batches that are being written. */
  readonly outstanding: Outstanding
}

export async function* planCheckout(
  { blocks }: { blocks: BlockStore },
  { root, staging, temporaryFds, limits, devices, signal, outstanding }: CheckoutPlanOptions,
): AsyncGenerator<WriteBatch, void, undefined> {
  const batch = createWriteBatchBuilder(blocks)
  const links = createRecordWriter(temporaryFds.links)
  const directories = createRecordWriter(temporaryFds.directories)
  const directoryStarts: number[] = []
  const firstOfGroup = new Map<string, Buffer>()
  /** Path below the root of the open directory at each depth. */
  const open: Buffer[] = []
  const isZeroChunk = createZeroTest()
  let entries = 0
  let bytes = 0

  /** Counted before it is yielded: a generator with a caller waiting goes on before the first caller has its batch. */
  async function handOut(): Promise<WriteBatch> {
    const built = await batch.build()
    outstanding.begin()
    return built
  }

  function checkLimits(entry: Entry): void {
    entries += 1
    if (entry.type === 'file') bytes += entry.sizeBytes
    if (limits !== undefined && (entries > limits.entries || bytes > limits.bytes)) {
      throw new MirrorError('corrupt', 'the tree is larger than its snapshot says', {
        facts: { entries: limits.entries, bytes: limits.bytes },
      })
    }
  }

  async function* writeLarge(
    path: Buffer,
    entry: FileEntry,
    xattrs: readonly Xattr[],
  ): AsyncGenerator<WriteBatch, void, undefined> {
    const { holes = [] } = entry
    createLarge(
      joinPath(staging, path),
      path.length === 0 ? 'r+' : 'wx',
      holes.length > 0 ? entry.sizeBytes : 0,
    )
    // Sealed once all of its pieces are written, like the links to it.
    writeWaiting(links, path, NO_PATH, entry, xattrs)
    let parts: FilePart[] = []
    let pieceHoles: number[] = []
    let offset = 0
    let pieceBytes = 0
    const cut = (): void => {
      if (parts.length === 0) return
      const task = {
        kind: 'file',
        pathBytes: path.length,
        parts: parts.length,
        offset,
        isPiece: true,
        ...(pieceHoles.length === 0 ? {} : { holes: pieceHoles }),
        metadata: taskMetadata(entry, NO_XATTRS),
      } as const
      batch.add(task, [path], parts)
      pieceBytes = 0
      pieceHoles = []
      parts = []
    }
    for await (const part of fileParts(blocks, entry, undefined, signal)) {
      const { cid, lengthBytes } = part
      const within = holes.length === 0 ? [] : holesWithin(holes, part.offset, part.offset + lengthBytes)
      // The content has the last word: only zeros may be left out.
      if (within[1] === lengthBytes && isZeroChunk(part)) {
        cut()
        continue
      }
      if (parts.length === 0) offset = part.offset
      parts.push({ cid, lengthBytes })
      pieceHoles.push(...within)
      pieceBytes += lengthBytes
      if (pieceBytes < PIECE_BYTES) continue
      cut()
      yield await handOut()
    }
    cut()
  }

  /** True when the entry is another name of one that was met before. */
  function isLinked(path: Buffer, entry: Entry, xattrs: readonly Xattr[]): boolean {
    if (entry.type === 'directory' || entry.link === undefined) return false
    // What is not made cannot be linked: each name is reported.
    if (isDevice(entry) && !devices) return false
    const group = groupKey(entry)
    const existing = firstOfGroup.get(group)
    if (existing === undefined) {
      firstOfGroup.set(group, path)
      return false
    }
    writeWaiting(links, existing, path, entry, xattrs)
    return true
  }

  async function readSet(entry: Entry): Promise<readonly Xattr[]> {
    return (await loadXattrs(blocks, entry, signal)).xattrs
  }

  for await (const { path: names, entry } of walk(blocks, root, signal)) {
    checkLimits(entry)
    const path = joinPath(names.length === 0 ? Buffer.alloc(0) : open[names.length - 1]!, entry.name)
    const xattrs = entry.xattrBlock === undefined ? (entry.xattrs ?? NO_XATTRS) : await readSet(entry)
    const metadata = taskMetadata(entry, xattrs)
    if (entry.type === 'directory') {
      // The root's is the staging place itself.
      if (names.length > 0) makeDirectory(joinPath(staging, path), path)
      open[names.length] = path
      directoryStarts.push(directories.position)
      writeWaiting(directories, path, NO_PATH, entry, xattrs)
    } else if (isLinked(path, entry, xattrs)) {
      // Linked once its first name is written.
    } else if (entry.type === 'symlink') {
      const targetBytes = entry.target.length
      batch.add({ kind: 'symlink', pathBytes: path.length, targetBytes, metadata }, [path, entry.target])
    } else if (entry.type !== 'file') {
      const { major, minor } = isDevice(entry) ? entry : NO_DEVICE
      batch.add({ kind: 'special', pathBytes: path.length, type: entry.type, major, minor, metadata }, [path])
    } else if (entry.sizeBytes > PIECE_BYTES || entry.holes !== undefined || names.length === 0) {
      yield* writeLarge(path, entry, xattrs)
    } else {
      const parts: FilePart[] = []
      if (entry.content !== undefined) {
        for await (const part of fileParts(blocks, entry, undefined, signal)) parts.push(part)
      }
      const task = {
        kind: 'file',
        pathBytes: path.length,
        parts: parts.length,
        offset: 0,
        isPiece: false,
        metadata,
      } as const
      batch.add(task, [path], parts)
    }
    if (batch.isFull) yield await handOut()
  }
  if (!batch.isEmpty) yield await handOut()
  await outstanding.settled()

  links.flush()
  const linkReader = createRecordReader(temporaryFds.links, 0, links.position)
  while (!linkReader.isAtEnd) {
    const { a: existing, b: path, type, major, minor, metadata } = readWaiting(linkReader)
    if (type === 'directory') throw new MirrorError('internal', 'a directory waits to be linked')
    const existingBytes = existing.length
    if (path.length === 0) {
      batch.add({ kind: 'seal', pathBytes: existingBytes, isDirectory: false, metadata }, [existing])
    } else {
      const task = {
        kind: 'link',
        pathBytes: path.length,
        existingBytes,
        type,
        major,
        minor,
        metadata,
      } as const
      batch.add(task, [path, existing])
    }
    if (batch.isFull) yield await handOut()
  }
  if (!batch.isEmpty) yield await handOut()
  await outstanding.settled()

  // Innermost first, and one batch at a time: a parent without write or search permission closes the way to its children.
  directories.flush()
  let endByte = directories.position
  for (let startByte = directoryStarts.pop(); startByte !== undefined; startByte = directoryStarts.pop()) {
    const { a: path, metadata } = readWaiting(
      createRecordReader(temporaryFds.directories, startByte, endByte),
    )
    endByte = startByte
    batch.add({ kind: 'seal', pathBytes: path.length, isDirectory: true, metadata }, [path])
    if (!batch.isFull) continue
    yield await handOut()
    await outstanding.settled()
  }
  if (!batch.isEmpty) yield await handOut()
  await outstanding.settled()

  batch.add({ kind: 'sync', pathBytes: 0 }, [])
  yield await handOut()
}

const NO_DEVICE = { major: 0, minor: 0 }
const NO_PATH = new Uint8Array()

/** Members of one group share content, size and metadata; a tree that says otherwise gets files of their own. */
function groupKey(entry: LinkableEntry): string {
  const { type, mode, mtimeSec, mtimeNsec, uid, gid, xattrBlock } = entry
  const link = Buffer.from(entry.link ?? []).toString('latin1')
  const block = xattrBlock === undefined ? '' : cidKey(xattrBlock)
  const xattrs = (entry.xattrs ?? [])
    .flatMap(({ name, value }) => [name, value])
    .map((bytes) => `${bytes.length}:${Buffer.from(bytes).toString('latin1')}`)
    .join('')
  return `${link}${type}${mode},${mtimeSec},${mtimeNsec},${uid},${gid},${contentKey(entry)},${block}${xattrs}`
}

function contentKey(entry: LinkableEntry): string {
  switch (entry.type) {
    case 'file':
      return `${entry.content === undefined ? '' : cidKey(entry.content)}${entry.sizeBytes},${entry.holes ?? ''}`
    case 'symlink':
      return Buffer.from(entry.target).toString('latin1')
    case 'block-device':
    case 'character-device':
      return `${entry.major}:${entry.minor}`
    case 'fifo':
    case 'socket':
      return ''
  }
}

/** @param sizeBytes 0 for a file that grows as it is written; else all of it is a hole at first */
function createLarge(path: Buffer, flags: string, sizeBytes: number): void {
  const fd = fs.openSync(path, flags, 0o600)
  try {
    if (sizeBytes > 0) fs.ftruncateSync(fd, sizeBytes)
  } finally {
    fs.closeSync(fd)
  }
}

function makeDirectory(path: Buffer, below: Buffer): void {
  try {
    fs.mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new MirrorError('unsupported', `"${printableName(below)}" already exists in an empty check-out`, {
      hint: 'The file system takes two names of the tree for one, for example because it ignores case: check out to another.',
      cause: error,
    })
  }
}
