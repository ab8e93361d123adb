/**
 * The batches of one check-out, in phases: contents in walk order (directories are made here, as the walk meets them),
 * then hard links, then the metadata of directories, innermost first, then one sync. A phase starts when everything
 * of the one before is written. Memory: one batch, one leaf for each open directory, 8 bytes a directory, and one
 * path for each hard-link group; the rest waits in a temporary file.
 */
import fs from 'node:fs'
import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { cidKey } from '../block/cid.ts'
import type { Entry, FileEntry } from '../dag/entry.ts'
import type { FilePart } from '../dag/file.ts'
import { fileParts, walk } from '../dag/reader.ts'
import type { BlockStore } from '../store/block-store.ts'
import type { TaskMetadata, WriteBatch } from './checkout-threads.ts'
import { joinPath } from './path-bytes.ts'
import { createRecordReader, createRecordWriter } from './record-bytes.ts'
import { createWriteBatchBuilder, taskMetadata } from './write-batch-builder.ts'

/** A file over this is written in pieces, by all threads. */
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
  readonly signal: AbortSignal | undefined
  /** Batches that are being written. */
  readonly outstanding: Outstanding
}

export async function* planCheckout(
  { blocks }: { blocks: BlockStore },
  { root, staging, temporaryFds, limits, signal, outstanding }: CheckoutPlanOptions,
): AsyncGenerator<WriteBatch, void, undefined> {
  const batch = createWriteBatchBuilder(blocks)
  const links = createRecordWriter(temporaryFds.links)
  const directories = createRecordWriter(temporaryFds.directories)
  const directoryStarts: number[] = []
  const firstOfGroup = new Map<string, Buffer>()
  /** Large files, to be sealed once all of their pieces are written. */
  const pieced: { readonly path: Buffer; readonly metadata: TaskMetadata }[] = []
  /** Path below the root of the open directory at each depth. */
  const open: Buffer[] = []
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

  async function* writeLarge(path: Buffer, entry: FileEntry): AsyncGenerator<WriteBatch, void, undefined> {
    fs.closeSync(fs.openSync(joinPath(staging, path), path.length === 0 ? 'r+' : 'wx', 0o600))
    const metadata = taskMetadata(entry)
    pieced.push({ path, metadata })
    let parts: FilePart[] = []
    let offset = 0
    let pieceBytes = 0
    const cut = (): void => {
      const task = {
        kind: 'file',
        pathBytes: path.length,
        parts: parts.length,
        offset,
        isPiece: true,
        metadata,
      } as const
      batch.add(task, [path], parts)
      offset += pieceBytes
      pieceBytes = 0
      parts = []
    }
    for await (const part of fileParts(blocks, entry, undefined, signal)) {
      parts.push({ cid: part.cid, lengthBytes: part.lengthBytes })
      pieceBytes += part.lengthBytes
      if (pieceBytes < PIECE_BYTES) continue
      cut()
      yield await handOut()
    }
    if (parts.length > 0) cut()
  }

  /** True when the entry is another name of one that was met before. */
  function isLinked(path: Buffer, entry: Entry): boolean {
    if (entry.type === 'directory' || entry.link === undefined) return false
    const group = groupKey(entry)
    const existing = firstOfGroup.get(group)
    if (existing === undefined) {
      firstOfGroup.set(group, path)
      return false
    }
    writeWaiting(links, existing, path, entry)
    return true
  }

  for await (const { path: names, entry } of walk(blocks, root, signal)) {
    checkLimits(entry)
    const path = joinPath(names.length === 0 ? Buffer.alloc(0) : open[names.length - 1]!, entry.name)
    const metadata = taskMetadata(entry)
    if (entry.type === 'directory') {
      // The root's is the staging place itself.
      if (names.length > 0) makeDirectory(joinPath(staging, path), path)
      open[names.length] = path
      directoryStarts.push(directories.position)
      writeWaiting(directories, path, new Uint8Array(), entry)
    } else if (isLinked(path, entry)) {
      // Linked once its first name is written.
    } else if (entry.type === 'symlink') {
      const targetBytes = entry.target.length
      batch.add({ kind: 'symlink', pathBytes: path.length, targetBytes, metadata }, [path, entry.target])
    } else if (entry.sizeBytes > PIECE_BYTES || names.length === 0) {
      yield* writeLarge(path, entry)
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

  for (const { path, metadata } of pieced) {
    batch.add({ kind: 'seal', pathBytes: path.length, isDirectory: false, metadata }, [path])
    if (batch.isFull) yield await handOut()
  }
  if (!batch.isEmpty) yield await handOut()

  links.flush()
  const linkReader = createRecordReader(temporaryFds.links, 0, links.position)
  while (!linkReader.isAtEnd) {
    const { a: existing, b: path, isFile, metadata } = readWaiting(linkReader)
    const existingBytes = existing.length
    batch.add({ kind: 'link', pathBytes: path.length, existingBytes, isFile, metadata }, [path, existing])
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

/** Members of one group share content, size and metadata; a tree that says otherwise gets files of their own. */
function groupKey(entry: Exclude<Entry, { type: 'directory' }>): string {
  const content =
    entry.type === 'file'
      ? entry.content === undefined
        ? ''
        : cidKey(entry.content)
      : Buffer.from(entry.target).toString('latin1')
  const { mode, mtimeSec, mtimeNsec, uid, gid } = entry
  const link = Buffer.from(entry.link ?? []).toString('latin1')
  return `${link}${entry.type}${mode},${mtimeSec},${mtimeNsec},${uid},${gid},${content}`
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

function writeWaiting(
  out: ReturnType<typeof createRecordWriter>,
  a: Uint8Array,
  b: Uint8Array,
  { type, mode, mtimeSec, mtimeNsec, uid, gid }: Entry,
): void {
  out.u8(type === 'file' ? 1 : 0)
  for (const bytes of [a, b]) {
    out.u16(bytes.length)
    out.bytes(bytes)
  }
  out.u16(mode)
  out.whole(mtimeSec)
  out.u32(mtimeNsec)
  out.u32(uid)
  out.u32(gid)
}

function readWaiting(from: ReturnType<typeof createRecordReader>): {
  a: Uint8Array
  b: Uint8Array
  isFile: boolean
  metadata: TaskMetadata
} {
  const isFile = from.u8() === 1
  const a = from.bytes(from.u16())
  const b = from.bytes(from.u16())
  const metadata = {
    mode: from.u16(),
    mtimeSec: from.whole(),
    mtimeNsec: from.u32(),
    uid: from.u32(),
    gid: from.u32(),
  }
  return { a, b, isFile, metadata }
}
