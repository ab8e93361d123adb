/**
 * The batches of one check-out, in phases: directories and contents in walk order, then hard links and what their files
 * look like, then the metadata of directories, innermost first, then the manifest and one sync. A phase starts when
 * everything of the one before is written. Memory: one batch, one leaf for each open directory, 8 bytes a directory, and one
 * path for each hard-link group; the rest waits in a temporary file.
 */
import fs from 'node:fs'
import { MirrorError } from '../base/errors.ts'
import { cidKey } from '../block/cid.ts'
import type { Entry, FileEntry } from '../dag/entry.ts'
import type { FilePart } from '../dag/file.ts'
import { fileParts, walk } from '../dag/reader.ts'
import type { BlockStore } from '../store/block-store.ts'
import type { ManifestHead } from './checkout-manifest.ts'
import type { TaskMetadata, WriteBatch } from './checkout-threads.ts'
import type { LocalPaths } from './local-paths.ts'
import { joinPath, parentPath } from './path-bytes.ts'
import { createRecordReader, createRecordWriter } from './record-bytes.ts'
import type { Refused, ReusePlan } from './reuse-plan.ts'
import { createWriteBatchBuilder, taskMetadata } from './write-batch-builder.ts'
import { createEntryDigest, noteName } from './write-manifest.ts'

/** A file over this is written in pieces, by all threads. */
const PIECE_BYTES = 8 * 1024 * 1024
/** A file whose times moved is read and compared up to this size, since one thread does it; over it, it is written. */
const MAX_COMPARED_BYTES = 1024 * 1024 * 1024
const NO_SLOT = 0xffff_ffff

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
  readonly temporaryFds: { readonly links: number; readonly directories: number; readonly names: number }
  /** Where the manifest is written, and its head. */
  readonly manifest: { readonly path: Buffer; readonly head: ManifestHead } | undefined
  /** What stays as it is in the old tree: nothing is written there. */
  readonly local: LocalPaths
  readonly reuse: ReusePlan
  readonly limits: CheckoutLimits | undefined
  readonly signal: AbortSignal | undefined
  /** Batches that are being written. */
  readonly outstanding: Outstanding
}

export async function* planCheckout(
  { blocks }: { blocks: BlockStore },
  { root, staging, temporaryFds, manifest, local, reuse, limits, signal, outstanding }: CheckoutPlanOptions,
): AsyncGenerator<WriteBatch, void, undefined> {
  const batch = createWriteBatchBuilder(blocks)
  const links = createRecordWriter(temporaryFds.links)
  const directories = createRecordWriter(temporaryFds.directories)
  const names = createRecordWriter(temporaryFds.names)
  const digestOf = createEntryDigest()
  const directoryStarts: number[] = []
  const groups = new Map<string, { readonly path: Buffer; readonly slot: number; names: number }>()
  /** Large files, to be sealed once all of their pieces are written. */
  const pieced: { readonly path: Buffer; readonly slot: number; readonly metadata: TaskMetadata }[] = []
  /** Path below the root of the open directory at each depth. */
  const open: Buffer[] = []
  let entries = 0
  let bytes = 0
  let slots = 0
  let batches = 0

  /** Counted before it is yielded: a generator with a caller waiting goes on before the first caller has its batch. */
  async function handOut(): Promise<WriteBatch> {
    const id = ++batches
    reuse.handOut(id)
    const built = await batch.build(id)
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
    slot: number,
  ): AsyncGenerator<WriteBatch, void, undefined> {
    if (path.length === 0) await (await fs.promises.open(staging, 'r+')).close()
    else {
      // Its directory may wait in a batch.
      const parent = joinPath(staging, parentPath(path))
      await fs.promises.mkdir(parent, { recursive: true, mode: 0o700 })
      await (await fs.promises.open(joinPath(staging, path), 'wx', 0o600)).close()
    }
    const metadata = taskMetadata(entry)
    pieced.push({ path, slot, metadata })
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
        slot,
        isUnsure: false,
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

  /** @param old the state of a file of the old tree that may have this content */
  async function* writeFile(
    path: Buffer,
    entry: FileEntry,
    slot: number,
    old?: Buffer,
  ): AsyncGenerator<WriteBatch, void, undefined> {
    const isCompared = old !== undefined && entry.sizeBytes <= MAX_COMPARED_BYTES
    if ((entry.sizeBytes > PIECE_BYTES && !isCompared) || path.length === 0) {
      yield* writeLarge(path, entry, slot)
      return
    }
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
      slot,
      isUnsure: isCompared,
      metadata: taskMetadata(entry),
    } as const
    batch.add(task, isCompared ? [path, old] : [path], parts)
  }

  async function* writeRefused(): AsyncGenerator<WriteBatch, void, undefined> {
    for (
      let next: Refused | undefined = reuse.takeRefused();
      next !== undefined;
      next = reuse.takeRefused()
    ) {
      yield* writeFile(next.path, next.entry, next.slot, next.isUnsure ? next.state : undefined)
      if (batch.isFull) yield await handOut()
    }
  }

  /** True when the entry is another name of one that was met before. */
  function isLinked(path: Buffer, entry: Entry, slot: number): boolean {
    if (entry.type === 'directory' || entry.link === undefined) return false
    const key = groupKey(entry)
    const first = groups.get(key)
    if (first === undefined) {
      groups.set(key, { path, slot, names: 1 })
      return false
    }
    first.names += 1
    writeWaiting(links, first.path, path, entry, slot, first.slot)
    return true
  }

  for await (const { path: parents, entry } of walk(blocks, root, signal)) {
    checkLimits(entry)
    const depth = parents.length
    const path = joinPath(depth === 0 ? Buffer.alloc(0) : open[depth - 1]!, entry.name)
    if (entry.type === 'directory') open[depth] = path
    if (local.wins(path, entry.type)) continue
    const digest = entry.type === 'file' ? digestOf(entry) : undefined
    noteName(names, entry.type, path, digest)
    const slot = entry.type === 'file' ? slots++ : NO_SLOT
    if (entry.type === 'directory') {
      // The root's is the staging place itself.
      if (depth > 0) batch.add({ kind: 'mkdir', pathBytes: path.length }, [path])
      directoryStarts.push(directories.position)
      writeWaiting(directories, path, new Uint8Array(), entry)
    } else if (isLinked(path, entry, slot)) {
      // Linked once its first name is written.
    } else if (entry.type === 'symlink') {
      const { target } = entry
      const metadata = taskMetadata(entry)
      const targetBytes = target.length
      batch.add({ kind: 'symlink', pathBytes: path.length, targetBytes, metadata }, [path, target])
    } else {
      const state = reuse.find(path, digest!)
      if (state === undefined) yield* writeFile(path, entry, slot)
      else {
        const { sizeBytes } = entry
        const metadata = taskMetadata(entry)
        batch.add({ kind: 'reuse', pathBytes: path.length, slot, sizeBytes, metadata }, [path, state])
        reuse.add({ path, entry, slot, state })
      }
    }
    yield* writeRefused()
    if (batch.isFull) yield await handOut()
  }
  do {
    yield* writeRefused()
    if (!batch.isEmpty) yield await handOut()
    await outstanding.settled()
  } while (reuse.hasRefused)

  // All directories of the snapshot are there by now: what is made for a local path is made for it alone.
  for (const path of local.paths) {
    batch.add({ kind: 'local', pathBytes: path.length }, [path])
    if (batch.isFull) yield await handOut()
  }
  if (!batch.isEmpty) yield await handOut()
  await outstanding.settled()

  for (const { path, slot, metadata } of pieced) {
    batch.add({ kind: 'seal', pathBytes: path.length, isDirectory: false, slot, metadata }, [path])
    if (batch.isFull) yield await handOut()
  }
  if (!batch.isEmpty) yield await handOut()
  // A name that is made before its file is sealed would be seen in the state of the file.
  await outstanding.settled()

  links.flush()
  for (const next of readAllWaiting(temporaryFds.links, links.position)) {
    const { a: existing, b: path, isFile, metadata } = next
    const existingBytes = existing.length
    batch.add({ kind: 'link', pathBytes: path.length, existingBytes, isFile, metadata }, [path, existing])
    if (batch.isFull) yield await handOut()
  }
  if (!batch.isEmpty) yield await handOut()
  await outstanding.settled()
  if (manifest !== undefined) {
    const namesOf = new Map<number, number>()
    for (const { path, slot, names: count } of groups.values()) {
      if (count === 1 || slot === NO_SLOT) continue
      namesOf.set(slot, count)
      const task = { kind: 'state', pathBytes: path.length, slot, firstSlot: slot, names: count } as const
      batch.add(task, [path])
      if (batch.isFull) yield await handOut()
    }
    for (const { b: path, isFile, slot, firstSlot } of readAllWaiting(temporaryFds.links, links.position)) {
      if (!isFile) continue
      const count = namesOf.get(firstSlot) ?? 1
      batch.add({ kind: 'state', pathBytes: path.length, slot, firstSlot, names: count }, [path])
      if (batch.isFull) yield await handOut()
    }
    if (!batch.isEmpty) yield await handOut()
    await outstanding.settled()
  }

  // Innermost first, and one batch at a time: a parent without write or search permission closes the way to its children.
  directories.flush()
  let endByte = directories.position
  for (let startByte = directoryStarts.pop(); startByte !== undefined; startByte = directoryStarts.pop()) {
    const { a: path, metadata } = readWaiting(
      createRecordReader(temporaryFds.directories, startByte, endByte),
    )
    endByte = startByte
    batch.add({ kind: 'seal', pathBytes: path.length, isDirectory: true, slot: NO_SLOT, metadata }, [path])
    if (!batch.isFull) continue
    yield await handOut()
    await outstanding.settled()
  }
  if (!batch.isEmpty) yield await handOut()
  await outstanding.settled()

  if (manifest !== undefined) {
    names.flush()
    const { path, head } = manifest
    const namesBytes = names.position
    batch.add({ kind: 'manifest', pathBytes: path.length, namesBytes, head }, [path])
  }
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

function writeWaiting(
  out: ReturnType<typeof createRecordWriter>,
  a: Uint8Array,
  b: Uint8Array,
  { type, mode, mtimeSec, mtimeNsec, uid, gid }: Entry,
  slot = NO_SLOT,
  firstSlot = NO_SLOT,
): void {
  out.u8(type === 'file' ? 1 : 0)
  out.u32(slot)
  out.u32(firstSlot)
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

interface Waiting {
  readonly a: Uint8Array
  readonly b: Uint8Array
  readonly isFile: boolean
  readonly slot: number
  readonly firstSlot: number
  readonly metadata: TaskMetadata
}

function* readAllWaiting(fd: number, endByte: number): Generator<Waiting, void, undefined> {
  const reader = createRecordReader(fd, 0, endByte)
  while (!reader.isAtEnd) yield readWaiting(reader)
}

function readWaiting(from: ReturnType<typeof createRecordReader>): Waiting {
  const isFile = from.u8() === 1
  const slot = from.u32()
  const firstSlot = from.u32()
  const a = from.bytes(from.u16())
  const b = from.bytes(from.u16())
  const metadata = {
    mode: from.u16(),
    mtimeSec: from.whole(),
    mtimeNsec: from.u32(),
    uid: from.u32(),
    gid: from.u32(),
  }
  return { a, b, isFile, slot, firstSlot, metadata }
}
